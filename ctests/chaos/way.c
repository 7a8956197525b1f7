#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connected_descriptor(const struct sockaddr *a, socklen_t len) {
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, a, len) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static redisAsyncContext *open_descriptor(const struct proxy *proxy, int way) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    redisOptions o = {0};
    int fd;
    if (way == PROXY_UNIX) {
        memcpy(un.sun_path, proxy->path, sizeof(un.sun_path));
        fd = connected_descriptor((struct sockaddr *)&un, sizeof(un));
    } else {
        in.sin_port = htons((uint16_t)proxy->port[way]);
        fd = connected_descriptor((struct sockaddr *)&in, sizeof(in));
    }
    /* Reset by the proxy before connect() had returned: nothing to hand over yet. */
    if (fd < 0 && errno == ECONNRESET) return open_descriptor(proxy, way);
    if (fd < 0) return NULL;
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd;
    return redisAsyncConnectWithOptions(&o);
}

static redisAsyncContext *open_with_options(const struct proxy *proxy, int way, int port, struct rng *rng,
                                            struct opened *how) {
    redisOptions o = {0};
    struct timeval connect_time, command_time;
    if (way == PROXY_UNIX) REDIS_OPTIONS_SET_UNIX(&o, proxy->path);
    else REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    if (rng_percent(rng, 70)) {
        how->command_ms = (int)rng_between(rng, 300, 2000);
        command_time = (struct timeval){how->command_ms / 1000, how->command_ms % 1000 * 1000};
        o.command_timeout = &command_time;
    }
    if (rng_percent(rng, 70)) {
        how->connect_ms = (int)rng_between(rng, 1000, 3000);
        connect_time = (struct timeval){how->connect_ms / 1000, how->connect_ms % 1000 * 1000};
        o.connect_timeout = &connect_time;
    }
    if (rng_percent(rng, 20)) {
        o.options |= REDIS_OPT_NOAUTOFREE;
        how->keeps_context = 1;
    }
    return redisAsyncConnectWithOptions(&o);
}

redisAsyncContext *way_open(const struct proxy *proxy, int way, struct rng *rng, struct opened *how) {
    int port = way == PROXY_UNIX ? 0 : proxy->port[way];
    if (way != PROXY_UNIX && rng_percent(rng, 5)) {
        port = proxy->closed_port;
        how->refused_port = 1;
    }
    if (!how->refused_port && rng_percent(rng, 8)) return open_descriptor(proxy, way);
    if (rng_percent(rng, 70)) return open_with_options(proxy, way, port, rng, how);
    return way == PROXY_UNIX ? redisAsyncConnectUnix(proxy->path) : redisAsyncConnect("127.0.0.1", port);
}
