"""The demonstration: a study goes in over C-STORE on a stack of its own, results come out."""
