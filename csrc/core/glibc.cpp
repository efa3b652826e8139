// libstdc++ of GCC 11 and later asks glibc from 2.32 on whether the process has one thread, to count references without
// atomic operations. With this answer the libraries run on an older glibc too.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;
