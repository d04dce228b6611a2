"""Training, evaluation and export of the segmentation models; an extra that nothing imports.

`data` caches the pictures that the enhancement chain serves, `net` is the U-Net, `train` and
`export` need PyTorch (the `train` extra), `evaluate` needs only a predictor. The same chain that
serves a frame (`engine.enhance`) makes every training picture.
"""
