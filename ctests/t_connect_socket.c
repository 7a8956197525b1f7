/* What connecting does to the socket: source address, options, modes, and unix sockets in particular. */
#include "fake.h"
#include "sync.h"
#include "syscalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

static int connects;

/* ---- Source address, reuse ---- */

static const char *peer_address(int fd) {
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;

    CHECK_INT(getpeername(fd, (struct sockaddr *)&sa, &len), 0);
    return test_printf("%s", inet_ntoa(sa.sin_addr));
}

TEST(connect, a_source_address_is_bound, "101") {
    int port, listener = hand_listen_tcp(&port, 4), peer;
    redisContext *c;

    alloc_count_begin();
    c = redisConnectBindNonBlock("127.0.0.1", port, "127.0.0.2");
    CHECK_NO_ERROR(c);
    CHECK_INT(c->flags & (REDIS_BLOCK | REDIS_REUSEADDR), 0);
    CHECK_STR(c->tcp.source_addr, "127.0.0.2");
    CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_REUSEADDR), 0);
    peer = hand_accept(listener);
    CHECK_STR(peer_address(peer), "127.0.0.2");
    close(peer);
    redisFree(c);

    c = redisConnectBindNonBlockWithReuse("127.0.0.1", port, "127.0.0.3");
    CHECK_NO_ERROR(c);
    CHECK_INT(c->flags & (REDIS_BLOCK | REDIS_REUSEADDR), REDIS_REUSEADDR);
    CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_REUSEADDR), 1);
    peer = hand_accept(listener);
    CHECK_STR(peer_address(peer), "127.0.0.3");
    close(peer);
    redisFree(c);
    alloc_count_end();
    close(listener);
}

static int no_such_source(const char *node, const char *service, const struct addrinfo *hints,
                          struct addrinfo **res) {
    return strcmp(node, "source.example") == 0 ? EAI_NONAME : real_getaddrinfo(node, service, hints, res);
}

TEST(connect, a_bad_source_address_is_an_error, "101") {
    redisContext *c;

    alloc_count_begin();
    /* 203.0.113.0/24 is for documentation, nobody's address. */
    c = redisConnectBindNonBlock("127.0.0.1", live_port(), "203.0.113.9");
    CHECK_INT(errno, EADDRNOTAVAIL);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Can't bind socket: Cannot assign requested address");
    redisFree(c);

    c = redisConnectBindNonBlock("127.0.0.1", live_port(), "::1");
    CHECK_ERROR(c, REDIS_ERR_OTHER, test_printf("Can't get addr: %s", gai_strerror(EAI_ADDRFAMILY)));
    redisFree(c);

    instead.getaddrinfo = no_such_source;
    c = redisConnectBindNonBlock("127.0.0.1", live_port(), "source.example");
    instead.getaddrinfo = NULL;
    CHECK_ERROR(c, REDIS_ERR_OTHER, test_printf("Can't get addr: %s", gai_strerror(EAI_NONAME)));
    redisFree(c);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1
TEST(connect, a_blocking_context_binds_its_source_address_too, "101") {
    int port, listener = hand_listen_tcp(&port, 4), peer;
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", port);
    o.endpoint.tcp.source_addr = "127.0.0.4";
    c = redisConnectWithOptions(&o);
    CHECK_NO_ERROR(c);
    peer = hand_accept(listener);
    CHECK_STR(peer_address(peer), "127.0.0.4");
    close(peer);

    /* and again when it connects again */
    CHECK_INT(redisReconnect(c), REDIS_OK);
    peer = hand_accept(listener);
    CHECK_STR(peer_address(peer), "127.0.0.4");
    close(peer);
    redisFree(c);
    close(listener);
}

static int address_in_use(int fd, const struct sockaddr *to, socklen_t len) {
    (void)fd, (void)to, (void)len;
    connects++;
    errno = EADDRNOTAVAIL;
    return -1;
}

static redisContext *connect_bound(int options) {
    redisOptions o = {0};

    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
    o.endpoint.tcp.source_addr = "127.0.0.1";
    o.options = options;
    return redisConnectWithOptions(&o);
}

TEST(connect, with_reuse_an_address_in_use_is_tried_ten_times_and_then_reported, "") {
    for (int nonblock = 0; nonblock < 2; nonblock++) {
        redisContext *c;

        alloc_count_begin();
        connects = 0;
        instead.connect = address_in_use;
        c = connect_bound(REDIS_OPT_REUSEADDR | (nonblock ? REDIS_OPT_NONBLOCK : 0));
        CHECK_INT(errno, EADDRNOTAVAIL);
        CHECK_ERROR(c, REDIS_ERR_IO, "Cannot assign requested address");
        CHECK_INT(connects, REDIS_CONNECT_RETRIES);
        redisFree(c);

        connects = 0;
        c = connect_bound(nonblock ? REDIS_OPT_NONBLOCK : 0);
        CHECK_ERROR(c, REDIS_ERR_IO, "Cannot assign requested address");
        CHECK_INT(connects, 1);
        redisFree(c);
        instead.connect = NULL;
        alloc_count_end();
    }
}

static int address_in_use_at_first(int fd, const struct sockaddr *to, socklen_t len) {
    if (connects++ < 3) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    return real_connect(fd, to, len);
}

TEST(connect, with_reuse_a_later_try_may_succeed, "") {
    redisContext *c;

    instead.connect = address_in_use_at_first;
    c = connect_bound(REDIS_OPT_REUSEADDR);
    instead.connect = NULL;
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
}

static int refused_level, refused_name;

static int refuse_option(int fd, int level, int name, const void *value, socklen_t len) {
    if (level == refused_level && name == refused_name) {
        errno = ENOBUFS;
        return -1;
    }
    return real_setsockopt(fd, level, name, value, len);
}

TEST(connect, a_refused_reuseaddr_is_reported, "") {
    redisContext *c;

    refused_level = SOL_SOCKET;
    refused_name = SO_REUSEADDR;
    instead.setsockopt = refuse_option;
    c = connect_bound(REDIS_OPT_REUSEADDR);
    CHECK_INT(errno, ENOBUFS);
    instead.setsockopt = NULL;
    CHECK(c != NULL);
    CHECK_INT(c->err, REDIS_ERR_IO);
    CHECK(strstr(c->errstr, "No buffer space available") != NULL);
    redisFree(c);
}

TEST(connect, a_refused_nodelay_is_reported, "") {
    redisContext *c;

    refused_level = IPPROTO_TCP;
    refused_name = TCP_NODELAY;
    instead.setsockopt = refuse_option;
    c = redisConnect("127.0.0.1", live_port());
    CHECK_INT(errno, ENOBUFS);
    instead.setsockopt = NULL;
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(TCP_NODELAY): No buffer space available");
    redisFree(c);
}
#endif

/* ---- Socket options ---- */

TEST(connect, nodelay_is_set_on_every_tcp_connection, "105") {
    redisContext *c = live_tcp();

    CHECK(socket_option(c->fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    redisFree(c);

    c = redisConnectWithTimeout("127.0.0.1", live_port(), seconds(2));
    CHECK(socket_option(c->fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK(socket_option(c->fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    redisFree(c);

    c = redisConnectNonBlock("127.0.0.1", live_port());
    CHECK(socket_option(c->fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    redisFree(c);
}

TEST(connect, only_a_blocking_context_has_a_blocking_descriptor, "107") {
    redisContext *c;

    c = redisConnect("127.0.0.1", live_port());
    CHECK(c->flags & REDIS_BLOCK && c->flags & REDIS_CONNECTED);
    CHECK(!is_nonblocking(c->fd));
    redisFree(c);

    c = redisConnectUnix(live_unix());
    CHECK(c->flags & REDIS_BLOCK && c->flags & REDIS_CONNECTED);
    CHECK(!is_nonblocking(c->fd));
    redisFree(c);

    c = redisConnectNonBlock("127.0.0.1", live_port());
    CHECK(!(c->flags & REDIS_BLOCK));
    CHECK(is_nonblocking(c->fd));
    redisFree(c);

    c = redisConnectUnixNonBlock(live_unix());
    CHECK(!(c->flags & REDIS_BLOCK));
    CHECK(is_nonblocking(c->fd));
    redisFree(c);
}

static int refused_command;

static int refuse_command(int fd, int command, long argument) {
    if (command == refused_command) {
        errno = EPERM;
        return -1;
    }
    return real_fcntl(fd, command, argument);
}

TEST(connect, a_descriptor_whose_mode_cannot_be_changed_is_an_error, "107") {
    static const struct {
        int command;
        const char *text;
    } refused[] = {
        {F_GETFL, "fcntl(F_GETFL): Operation not permitted"},
        {F_SETFL, "fcntl(F_SETFL): Operation not permitted"},
    };

    for (int i = 0; i < 2; i++) {
        for (int tcp = 0; tcp < 2; tcp++) {
            redisContext *c;

            refused_command = refused[i].command;
            alloc_count_begin();
            instead.fcntl = refuse_command;
            c = tcp ? redisConnect("127.0.0.1", live_port()) : redisConnectUnix(live_unix());
            CHECK_INT(errno, EPERM);
            instead.fcntl = NULL;
            CHECK_ERROR(c, REDIS_ERR_IO, refused[i].text);
            CHECK_INT(c->flags & REDIS_CONNECTED, 0);
            redisFree(c);
            alloc_count_end();
        }
    }
}

#if HIREDIS_MAJOR >= 1
static int has_cloexec(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

TEST(connect, cloexec_and_reuseaddr_are_independent, "104 237") {
    static const int option[] = {0, REDIS_OPT_SET_SOCK_CLOEXEC, REDIS_OPT_REUSEADDR,
                                 REDIS_OPT_SET_SOCK_CLOEXEC | REDIS_OPT_REUSEADDR};

    for (int type = REDIS_CONN_TCP; type <= REDIS_CONN_UNIX; type++) {
        for (int i = 0; i < 4; i++) {
            for (int nonblock = 0; nonblock < 2; nonblock++) {
                int cloexec = option[i] & REDIS_OPT_SET_SOCK_CLOEXEC, reuse = option[i] & REDIS_OPT_REUSEADDR;
                redisOptions o = {0};
                redisContext *c;

                o.options = option[i] | (nonblock ? REDIS_OPT_NONBLOCK : 0);
                if (type == REDIS_CONN_TCP) {
                    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
                    o.endpoint.tcp.source_addr = "127.0.0.1";
                } else {
                    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
                }
                c = redisConnectWithOptions(&o);
                CHECK_NO_ERROR(c);
                for (int again = 0; again < 2; again++) {
                    CHECK_INT(has_cloexec(c->fd), cloexec != 0);
                    CHECK_INT((c->flags & REDIS_REUSEADDR) != 0, reuse != 0);
                    if (type == REDIS_CONN_TCP)
                        CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_REUSEADDR), reuse != 0);
                    /* once more with the connection made again */
                    CHECK_INT(redisReconnect(c), REDIS_OK);
                }
                redisFree(c);
            }
        }
    }
}

TEST(connect, reuseaddr_without_a_source_address_has_no_effect, "") {
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
    o.options = REDIS_OPT_REUSEADDR;
    c = redisConnectWithOptions(&o);
    CHECK_NO_ERROR(c);
    CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_REUSEADDR), 0);
    redisFree(c);
}
#endif

/* ---- Unix paths ---- */

static char *path_of_length(size_t len) {
    char *path = test_bytes(len + 1);
    int n = snprintf(path, len + 1, "%s/", test_tmp());

    if (n < 0 || (size_t)n + 1 > len)
        FAIL("the tests' directory has a longer name than %zu characters", len);
    memset(path + n, 'x', len - (size_t)n);
    path[len] = '\0';
    return path;
}

/* A listening socket at a path of 107 characters, the most there is. */
static int listen_at_107(const char *path) {
    struct sockaddr_un sa;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(&sa, 0, sizeof sa);
    sa.sun_family = AF_UNIX;
    memcpy(sa.sun_path, path, 107);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 8) < 0)
        FAIL("cannot listen on %s: %s", path, strerror(errno));
    return fd;
}

TEST(connect, a_unix_path_may_have_107_characters, "106") {
    char *path = path_of_length(107);
    int listener = listen_at_107(path), peer;
    redisContext *c = redisConnectUnix(path);

    CHECK_NO_ERROR(c);
    CHECK_STR(c->unix_sock.path, path);
    peer = hand_accept(listener);
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    close(peer);
    close(listener);
    unlink(path);
}

TEST(connect, a_longer_unix_path_is_an_error, "106 240") {
    static const size_t length[] = {108, 109, 128, 5000};
    char *path107 = path_of_length(107);
    int listener = listen_at_107(path107);
    struct pollfd p = {.fd = listener, .events = POLLIN};

    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        char *path = path_of_length(length[i]);
        redisContext *c;

        alloc_count_begin();
        c = redisConnectUnix(path);
        CHECK_INT(errno, ENAMETOOLONG);
        CHECK_ERROR(c, REDIS_ERR_IO, "File name too long");
        CHECK_INT(c->flags & REDIS_CONNECTED, 0);
        redisFree(c);
        c = redisConnectUnixNonBlock(path);
        CHECK_ERROR(c, REDIS_ERR_IO, "File name too long");
        redisFree(c);
        c = redisConnectUnixWithTimeout(path, seconds(1));
        CHECK_ERROR(c, REDIS_ERR_IO, "File name too long");
        redisFree(c);
        alloc_count_end();
    }
    CHECK_INT(poll(&p, 1, 0), 0); /* nobody came to the path's first 107 characters */
    close(listener);
    unlink(path107);
}

/* ---- A unix socket whose queue is full ---- */

TEST(connect, a_full_unix_queue_is_waited_for, "241") {
    fake *f = fake_new_with_backlog(0);
    int fd[64];
    size_t n = hand_fill_unix(fake_path(f), fd, 64);
    redisContext *c;

    for (int with_timeout = 0; with_timeout < 2; with_timeout++) {
        fake_sleep(f, 200);
        for (size_t i = 0; i <= n; i++)
            fake_accept(f);
        fake_expect_str(f, "*1\r\n$4\r\nPING\r\n");
        fake_send_str(f, "+PONG\r\n");
        fake_start(f);

        alloc_count_begin();
        if (with_timeout)
            c = redisConnectUnixWithTimeout(fake_path(f), seconds(20));
        else
            c = redisConnectUnix(fake_path(f));
        CHECK_NO_ERROR(c);
        CHECK(!is_nonblocking(c->fd));
        CHECK_STR(command_text(c, "PING"), "+PONG");
        redisFree(c);
        alloc_count_end();
        fake_finish(f);
        for (size_t i = 0; i < n; i++)
            close(fd[i]);
        if (with_timeout == 0) {
            f = fake_new_with_backlog(0);
            n = hand_fill_unix(fake_path(f), fd, 64);
        }
    }
}

static int count_connects(int fd, const struct sockaddr *to, socklen_t len) {
    connects++;
    return real_connect(fd, to, len);
}

TEST(connect, a_full_unix_queue_ends_the_attempt_with_the_timeout_and_without_spinning, "241") {
    char path[108];
    int listener = hand_listen_unix(path, sizeof path, 0), fd[64];
    size_t n = hand_fill_unix(path, fd, 64);
    double start = test_now(), took;
    redisContext *c;

    instead.connect = count_connects;
    c = redisConnectUnixWithTimeout(path, seconds(0.5));
    CHECK_INT(errno, ETIMEDOUT);
    instead.connect = NULL;
    took = test_now() - start;
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    CHECK(took > 0.4 && took < 10);
    CHECK(connects < 2000);
    redisFree(c);
    for (size_t i = 0; i < n; i++)
        close(fd[i]);
    close(listener);
    unlink(path);
}

TEST(connect, signals_do_not_end_the_wait_for_a_full_unix_queue, "94") {
    fake *f = fake_new_with_backlog(0);
    int fd[64], count;
    size_t n = hand_fill_unix(fake_path(f), fd, 64);
    redisContext *c;

    fake_sleep(f, 300);
    for (size_t i = 0; i <= n; i++)
        fake_accept(f);
    fake_expect_eof(f);
    fake_start(f);
    alarms(10);
    c = redisConnectUnix(fake_path(f));
    count = alarms(0);
    CHECK_NO_ERROR(c);
    CHECK(count > 2);
    redisFree(c);
    fake_finish(f);
    for (size_t i = 0; i < n; i++)
        close(fd[i]);
}
