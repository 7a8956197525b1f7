#include "syscalls.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct syscalls instead;

/* The next definition of a name after this program's: the C library's, or a sanitizer's. */
static void *next(const char *name) {
    void *f = dlsym(RTLD_NEXT, name);

    if (f == NULL)
        abort();
    return f;
}

/* ISO C has no conversion from an object pointer to a function pointer; POSIX promises that the bits fit. */
#define REAL(name, type, ...)                                                                           \
    do {                                                                                                \
        static type f;                                                                                  \
        void *p;                                                                                        \
        if (f == NULL) {                                                                                \
            p = next(name);                                                                             \
            memcpy(&f, &p, sizeof f);                                                                   \
        }                                                                                               \
        return f(__VA_ARGS__);                                                                          \
    } while (0)

typedef int socket_fn(int, int, int);
typedef int connect_fn(int, const struct sockaddr *, socklen_t);
typedef int setsockopt_fn(int, int, int, const void *, socklen_t);
typedef int poll_fn(struct pollfd *, nfds_t, int);
typedef int fcntl_fn(int, int, ...);
typedef ssize_t recv_fn(int, void *, size_t, int);
typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef void freeaddrinfo_fn(struct addrinfo *);

int real_socket(int domain, int type, int protocol) {
    REAL("socket", socket_fn *, domain, type, protocol);
}

int real_connect(int fd, const struct sockaddr *to, socklen_t len) {
    REAL("connect", connect_fn *, fd, to, len);
}

int real_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    REAL("setsockopt", setsockopt_fn *, fd, level, name, value, len);
}

int real_poll(struct pollfd *fds, nfds_t n, int ms) {
    REAL("poll", poll_fn *, fds, n, ms);
}

int real_fcntl(int fd, int command, long argument) {
    REAL("fcntl", fcntl_fn *, fd, command, argument);
}

ssize_t real_recv(int fd, void *buf, size_t cap, int flags) {
    REAL("recv", recv_fn *, fd, buf, cap, flags);
}

int real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res) {
    REAL("getaddrinfo", getaddrinfo_fn *, node, service, hints, res);
}

void real_freeaddrinfo(struct addrinfo *res) {
    static freeaddrinfo_fn *f;
    void *p;

    if (f == NULL) {
        p = next("freeaddrinfo");
        memcpy(&f, &p, sizeof f);
    }
    f(res);
}

/* Under other names in C, because the headers' own declarations differ between C libraries. */
socket_fn our_socket __asm__("socket");
connect_fn our_connect __asm__("connect");
setsockopt_fn our_setsockopt __asm__("setsockopt");
poll_fn our_poll __asm__("poll");
fcntl_fn our_fcntl __asm__("fcntl");
recv_fn our_recv __asm__("recv");
getaddrinfo_fn our_getaddrinfo __asm__("getaddrinfo");
freeaddrinfo_fn our_freeaddrinfo __asm__("freeaddrinfo");

int our_socket(int domain, int type, int protocol) {
    return (instead.socket ? instead.socket : real_socket)(domain, type, protocol);
}

int our_connect(int fd, const struct sockaddr *to, socklen_t len) {
    return (instead.connect ? instead.connect : real_connect)(fd, to, len);
}

int our_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    return (instead.setsockopt ? instead.setsockopt : real_setsockopt)(fd, level, name, value, len);
}

int our_poll(struct pollfd *fds, nfds_t n, int ms) {
    return (instead.poll ? instead.poll : real_poll)(fds, n, ms);
}

int our_fcntl(int fd, int command, ...) {
    va_list ap;
    long argument;

    /* A pointer, an int or nothing: passed on as it came. */
    va_start(ap, command);
    argument = va_arg(ap, long);
    va_end(ap);
    return (instead.fcntl ? instead.fcntl : real_fcntl)(fd, command, argument);
}

ssize_t our_recv(int fd, void *buf, size_t cap, int flags) {
    return (instead.recv ? instead.recv : real_recv)(fd, buf, cap, flags);
}

int our_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                    struct addrinfo **res) {
    return (instead.getaddrinfo ? instead.getaddrinfo : real_getaddrinfo)(node, service, hints, res);
}

void our_freeaddrinfo(struct addrinfo *res) {
    (instead.freeaddrinfo ? instead.freeaddrinfo : real_freeaddrinfo)(res);
}
