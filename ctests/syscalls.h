/* Calls of the C library that a test can put itself in front of.
 *
 *     static int refuse(int fd, const struct sockaddr *to, socklen_t len) {
 *         errno = ECONNREFUSED;
 *         return -1;
 *     }
 *     ...
 *     instead.connect = refuse;
 *
 * While a member of `instead` is set, the library's calls from this thread come to it. The rest, and
 * calls from other threads, go to the real function, which is also at hand as real_connect and so on.
 * The program's own definitions win over those of the C library, also for a shared library. */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

struct syscalls {
    int (*socket)(int domain, int type, int protocol);
    int (*connect)(int fd, const struct sockaddr *to, socklen_t len);
    int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t len);
    int (*poll)(struct pollfd *fds, nfds_t n, int ms);
    int (*fcntl)(int fd, int command, long argument);
    ssize_t (*recv)(int fd, void *buf, size_t cap, int flags);
    int (*getaddrinfo)(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);
    void (*freeaddrinfo)(struct addrinfo *res);
};

extern _Thread_local struct syscalls instead;

int real_socket(int domain, int type, int protocol);
int real_connect(int fd, const struct sockaddr *to, socklen_t len);
int real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int real_poll(struct pollfd *fds, nfds_t n, int ms);
int real_fcntl(int fd, int command, long argument);
ssize_t real_recv(int fd, void *buf, size_t cap, int flags);
int real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res);
void real_freeaddrinfo(struct addrinfo *res);

#endif
