/* Counts the bytes that a process copies: LD_PRELOAD it, and ask perf_copied().

   Every memcpy and memmove of 1 KiB or more, and what comes out of sockets and pipes. Copying one
   byte after the other is what compilers would turn back into memcpy, hence the instruction. */

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned long long copied;

static void note(size_t size) {
    if (size >= 1024) __atomic_fetch_add(&copied, size, __ATOMIC_RELAXED);
}

unsigned long long perf_copied(void) { return __atomic_load_n(&copied, __ATOMIC_RELAXED); }

static void forwards(void *to, const void *from, size_t size) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void backwards(void *to, const void *from, size_t size) {
    to = (char *)to + size - 1;
    from = (const char *)from + size - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    note(size);
    forwards(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    note(size);
    if ((size_t)((char *)to - (const char *)from) >= size) forwards(to, from, size);
    else if (size) backwards(to, from, size);
    return to;
}

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room) {
    (void)room;
    return memcpy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room) {
    (void)room;
    return memmove(to, from, size);
}

static ssize_t read_in(ssize_t size) {
    if (size > 0) note((size_t)size);
    return size;
}

ssize_t read(int file, void *to, size_t size) { return read_in(syscall(SYS_read, file, to, size)); }

ssize_t recv(int file, void *to, size_t size, int flags) {
    return read_in(syscall(SYS_recvfrom, file, to, size, flags, NULL, NULL));
}

ssize_t recvmsg(int file, struct msghdr *to, int flags) {
    return read_in(syscall(SYS_recvmsg, file, to, flags));
}
