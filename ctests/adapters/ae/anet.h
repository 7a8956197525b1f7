/* What ae.c asks of the rest of Redis: close-on-exec. */
#ifndef STANDIN_ANET_H
#define STANDIN_ANET_H

#include <fcntl.h>

static inline int anetCloexec(int fd) {
    int flags = fcntl(fd, F_GETFD);
    return flags == -1 ? -1 : fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

#endif
