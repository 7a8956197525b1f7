/* What a new context is like, by each way of making one and each option; given descriptors; no memory. */
#include "fake.h"
#include "sync.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- What a new context is like ---- */

static void check_fresh(const redisContext *c) {
    CHECK_NO_ERROR(c);
    CHECK(c->obuf != NULL && c->obuf[0] == '\0');
    CHECK_UINT(sdslen(c->obuf), 0);
    CHECK(c->reader != NULL);
    CHECK_UINT(c->reader->maxbuf, REDIS_READER_MAX_BUF);
    CHECK_INT(c->reader->err, 0);
#if HIREDIS_MAJOR >= 1
    CHECK(c->funcs != NULL);
    CHECK(c->funcs->close != NULL && c->funcs->read != NULL && c->funcs->write != NULL);
    CHECK(c->funcs->async_read != NULL && c->funcs->async_write != NULL);
    CHECK(c->funcs->free_privctx == NULL);
    CHECK(c->privctx == NULL);
    CHECK(c->privdata == NULL && c->free_privdata == NULL);
    CHECK(c->push_cb != NULL);
#endif
}

TEST(connect, a_tcp_context_remembers_where_it_connects_to, "107") {
    const struct sockaddr_in *sa;
    char host[] = "127.0.0.1";
    redisContext *c = redisConnect(host, live_port());

    check_fresh(c);
    host[0] = 'X'; /* the context has a copy */
    CHECK_STR(c->tcp.host, "127.0.0.1");
    CHECK_INT(c->tcp.port, live_port());
    CHECK(c->tcp.source_addr == NULL);
    CHECK(c->unix_sock.path == NULL);
    CHECK_INT(c->connection_type, REDIS_CONN_TCP);
    CHECK_INT(public_flags(c), REDIS_BLOCK | REDIS_CONNECTED);
#if HIREDIS_MAJOR >= 1
    CHECK(c->connect_timeout == NULL && c->command_timeout == NULL);
    CHECK_UINT(c->addrlen, sizeof *sa);
    sa = (const struct sockaddr_in *)c->saddr;
    CHECK(sa != NULL);
    CHECK_INT(sa->sin_family, AF_INET);
    CHECK_INT(ntohs(sa->sin_port), live_port());
    CHECK_UINT(ntohl(sa->sin_addr.s_addr), INADDR_LOOPBACK);
#else
    (void)sa;
#endif
    redisFree(c);
}

TEST(connect, a_unix_context_remembers_its_path, "107") {
    redisContext *c = redisConnectUnixWithTimeout(live_unix(), seconds(3));

    check_fresh(c);
    CHECK_STR(c->unix_sock.path, live_unix());
    CHECK(c->unix_sock.path != live_unix());
    CHECK(c->tcp.host == NULL);
    CHECK_INT(c->connection_type, REDIS_CONN_UNIX);
    CHECK_INT(public_flags(c), REDIS_BLOCK | REDIS_CONNECTED);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(c->connect_timeout->tv_sec, 3);
    CHECK_INT(c->connect_timeout->tv_usec, 0);
    CHECK(c->command_timeout == NULL);
#endif
    redisFree(c);
}

TEST(connect, a_non_blocking_context_has_its_descriptor_at_once, "107") {
    redisContext *c = redisConnectNonBlock("127.0.0.1", live_port());

    check_fresh(c);
    CHECK(c->fd >= 0 && is_open(c->fd));
    CHECK_INT(c->flags & REDIS_BLOCK, 0);
    redisFree(c);
    /* even when nobody answers */
    c = redisConnectNonBlock("127.0.0.1", hand_stuck_port());
    check_fresh(c);
    CHECK(c->fd >= 0 && is_open(c->fd));
    redisFree(c);
}

/* ---- Over a given descriptor ---- */

TEST(connect, a_given_descriptor_is_used_as_it_is, "99") {
    int fd[2];
    redisContext *c;

    hand_pair(fd);
    fcntl(fd[0], F_SETFL, fcntl(fd[0], F_GETFL) | O_NONBLOCK);
    alloc_count_begin();
    c = redisConnectFd(fd[0]);
    check_fresh(c);
    CHECK_INT(c->fd, fd[0]);
    CHECK_INT(public_flags(c), REDIS_BLOCK | REDIS_CONNECTED);
    CHECK(is_nonblocking(c->fd));
    CHECK(c->tcp.host == NULL && c->unix_sock.path == NULL);
    redisFree(c);
    CHECK(!is_open(fd[0]));
    hand_expect_eof(fd[1]);
    alloc_count_end();
    close(fd[1]);
}

TEST(connect, a_descriptor_taken_from_a_context_serves_another, "99") {
    redisContext *c;
    int fd;

    alloc_count_begin();
    c = live();
    CHECK_STR(command_text(c, "CLIENT SETNAME first"), "+OK");
    fd = redisFreeKeepFd(c);
    CHECK(fd >= 0 && is_open(fd));
    c = redisConnectFd(fd);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "CLIENT GETNAME"), "\"first\"");
    CHECK_INT(redisFreeKeepFd(c), fd);
    CHECK(is_open(fd));
    c = redisConnectFd(fd);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    CHECK(!is_open(fd));
    alloc_count_end();
}

TEST(connect, an_invalid_descriptor_fails_with_the_first_io, "99") {
    redisContext *c;

    alloc_count_begin();
    c = redisConnectFd(-1);
    CHECK_NO_ERROR(c);
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(errno, EBADF);
    CHECK_ERROR(c, REDIS_ERR_IO, "Bad file descriptor");
    CHECK_INT(redisFreeKeepFd(c), -1);
    alloc_count_end();
}

TEST(connect, a_given_descriptor_cannot_be_connected_again, "100 230") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(c->connection_type, REDIS_CONN_USERFD);
#endif
    CHECK_INT(redisReconnect(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Not enough information to reconnect");
    /* and again, from that state */
    CHECK_INT(redisReconnect(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Not enough information to reconnect");
    redisFree(c);
    alloc_count_end();
    hand_expect_eof(peer);
    close(peer);
}

/* ---- Options ---- */

#if HIREDIS_MAJOR >= 1
TEST(connect, each_option_sets_its_flag, "") {
    static const struct {
        int option, flags;
    } want[] = {
        {0, REDIS_BLOCK},
        {REDIS_OPT_NONBLOCK, 0},
        {REDIS_OPT_REUSEADDR, REDIS_BLOCK | REDIS_REUSEADDR},
        {REDIS_OPT_NOAUTOFREE, REDIS_BLOCK | REDIS_NO_AUTO_FREE},
        {REDIS_OPT_NO_PUSH_AUTOFREE, REDIS_BLOCK},
        {REDIS_OPT_NOAUTOFREEREPLIES, REDIS_BLOCK | REDIS_NO_AUTO_FREE_REPLIES},
        {REDIS_OPT_PREFER_IPV4, REDIS_BLOCK | REDIS_PREFER_IPV4},
        {REDIS_OPT_PREFER_IPV6, REDIS_BLOCK | REDIS_PREFER_IPV6},
        {REDIS_OPT_PREFER_IP_UNSPEC, REDIS_BLOCK | REDIS_PREFER_IPV4 | REDIS_PREFER_IPV6},
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        for (int cloexec = 0; cloexec < 2; cloexec++) {
            redisOptions o = {0};
            redisContext *c;

            o.type = REDIS_CONN_USERFD;
            o.endpoint.fd = -1;
            o.options = want[i].option | (cloexec ? REDIS_OPT_SET_SOCK_CLOEXEC : 0);
            c = redisConnectWithOptions(&o);
            CHECK_NO_ERROR(c);
            CHECK_INT(public_flags(c), want[i].flags | REDIS_CONNECTED);
            redisFree(c);
        }
    }
}

TEST(connect, each_connect_function_is_a_set_of_options, "") {
    struct timeval tv = {7, 500000};
    int fd[2], port = live_port();

    hand_pair(fd);
    struct {
        redisContext *c;
        int type, flags, timeout;
    } made[] = {
        {redisConnect("127.0.0.1", port), REDIS_CONN_TCP, REDIS_BLOCK, 0},
        {redisConnectWithTimeout("127.0.0.1", port, tv), REDIS_CONN_TCP, REDIS_BLOCK, 1},
        {redisConnectNonBlock("127.0.0.1", port), REDIS_CONN_TCP, 0, 0},
        {redisConnectBindNonBlock("127.0.0.1", port, "127.0.0.1"), REDIS_CONN_TCP, 0, 0},
        {redisConnectBindNonBlockWithReuse("127.0.0.1", port, "127.0.0.1"), REDIS_CONN_TCP, REDIS_REUSEADDR,
         0},
        {redisConnectUnix(live_unix()), REDIS_CONN_UNIX, REDIS_BLOCK, 0},
        {redisConnectUnixWithTimeout(live_unix(), tv), REDIS_CONN_UNIX, REDIS_BLOCK, 1},
        {redisConnectUnixNonBlock(live_unix()), REDIS_CONN_UNIX, 0, 0},
        {redisConnectFd(fd[0]), REDIS_CONN_USERFD, REDIS_BLOCK, 0},
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        redisContext *c = made[i].c;

        check_fresh(c);
        CHECK_INT(c->connection_type, made[i].type);
        CHECK_INT(public_flags(c) & ~REDIS_CONNECTED, made[i].flags);
        if (made[i].timeout) {
            CHECK(c->connect_timeout != NULL);
            CHECK_INT(c->connect_timeout->tv_sec, 7);
            CHECK_INT(c->connect_timeout->tv_usec, 500000);
        } else {
            CHECK(c->connect_timeout == NULL);
        }
        CHECK(c->command_timeout == NULL);
        redisFree(c);
    }
    close(fd[1]);
}

TEST(connect, the_option_macros_fill_in_their_fields, "") {
    redisOptions o = {0};
    int x;

    o.type = 99;
    REDIS_OPTIONS_SET_TCP(&o, "host", 1234);
    CHECK_INT(o.type, REDIS_CONN_TCP);
    CHECK_STR(o.endpoint.tcp.ip, "host");
    CHECK_INT(o.endpoint.tcp.port, 1234);
    REDIS_OPTIONS_SET_UNIX(&o, "/path");
    CHECK_INT(o.type, REDIS_CONN_UNIX);
    CHECK_STR(o.endpoint.unix_socket, "/path");
    REDIS_OPTIONS_SET_PRIVDATA(&o, &x, free);
    CHECK(o.privdata == &x && o.free_privdata == free);
}

TEST(connect, options_may_be_freed_after_the_call, "108") {
    struct timeval *connect_timeout = malloc(sizeof *connect_timeout);
    struct timeval *command_timeout = malloc(sizeof *command_timeout);
    char *host = malloc(16), *source = malloc(16);
    redisOptions *o = calloc(1, sizeof *o);
    redisContext *c;
    struct timeval tv;
    socklen_t len = sizeof tv;

    strcpy(host, "127.0.0.1");
    strcpy(source, "127.0.0.1");
    *connect_timeout = seconds(5);
    *command_timeout = seconds(9);
    REDIS_OPTIONS_SET_TCP(o, host, live_port());
    o->endpoint.tcp.source_addr = source;
    o->connect_timeout = connect_timeout;
    o->command_timeout = command_timeout;

    alloc_count_begin();
    c = redisConnectWithOptions(o);
    memset(host, 'x', 15);
    memset(source, 'x', 15);
    memset(connect_timeout, 0x7f, sizeof *connect_timeout);
    memset(command_timeout, 0x7f, sizeof *command_timeout);
    memset(o, 0x7f, sizeof *o);
    free(host);
    free(source);
    free(connect_timeout);
    free(command_timeout);
    free(o);

    for (int again = 0; again < 2; again++) {
        CHECK_NO_ERROR(c);
        CHECK_STR(c->tcp.host, "127.0.0.1");
        CHECK_STR(c->tcp.source_addr, "127.0.0.1");
        CHECK_INT(c->connect_timeout->tv_sec, 5);
        CHECK_INT(c->command_timeout->tv_sec, 9);
        CHECK_INT(getsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len), 0);
        CHECK_INT(tv.tv_sec, 9);
        CHECK_INT(getsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len), 0);
        CHECK_INT(tv.tv_sec, 9);
        CHECK_STR(command_text(c, "PING"), "+PONG");
        CHECK_INT(redisReconnect(c), REDIS_OK);
    }
    redisFree(c);
    alloc_count_end();
}

TEST(connect, a_unix_path_may_be_freed_after_the_call, "108") {
    char *path = test_printf("%s", live_unix());
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_UNIX(&o, path);
    alloc_count_begin();
    c = redisConnectWithOptions(&o);
    memset(path, 'x', strlen(path));
    CHECK_STR(c->unix_sock.path, live_unix());
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

static void some_push(void *privdata, void *reply) {
    (void)privdata;
    freeReplyObject(reply);
}

TEST(connect, the_push_handler_follows_the_options, "96") {
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    c = redisConnectWithOptions(&o);
    CHECK(c->push_cb != NULL);
    redisFree(c);

    o.options = REDIS_OPT_NO_PUSH_AUTOFREE;
    c = redisConnectWithOptions(&o);
    CHECK(c->push_cb == NULL);
    redisFree(c);

    o.push_cb = some_push;
    c = redisConnectWithOptions(&o);
    CHECK(c->push_cb == some_push);
    redisFree(c);

    o.options = 0;
    c = redisConnectWithOptions(&o);
    CHECK(c->push_cb == some_push);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK(c->push_cb == some_push);
    redisFree(c);

    c = redisConnectUnix(live_unix());
    CHECK(c->push_cb != NULL && c->push_cb != some_push);
    redisFree(c);
}

static int destroyed;
static void *destroyed_what;

static void destroy(void *p) {
    destroyed++;
    destroyed_what = p;
}

TEST(connect, privdata_is_kept_and_destroyed_once, "97") {
    redisOptions o = {0};
    redisContext *c;
    int data;

    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    REDIS_OPTIONS_SET_PRIVDATA(&o, &data, destroy);
    c = redisConnectWithOptions(&o);
    CHECK(c->privdata == &data);
    CHECK(c->free_privdata == destroy);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK(c->privdata == &data);
    CHECK_INT(destroyed, 0);
    redisFree(c);
    CHECK_INT(destroyed, 1);
    CHECK(destroyed_what == &data);

    /* also after a failed connect, and with the descriptor kept */
    REDIS_OPTIONS_SET_UNIX(&o, "/nowhere/at/all");
    redisFree(redisConnectWithOptions(&o));
    CHECK_INT(destroyed, 2);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = -1;
    redisFreeKeepFd(redisConnectWithOptions(&o));
    CHECK_INT(destroyed, 3);

    /* not for NULL, and not without a destructor */
    REDIS_OPTIONS_SET_PRIVDATA(&o, NULL, destroy);
    redisFree(redisConnectWithOptions(&o));
    CHECK_INT(destroyed, 3);
    REDIS_OPTIONS_SET_PRIVDATA(&o, &data, NULL);
    redisFree(redisConnectWithOptions(&o));
    CHECK_INT(destroyed, 3);
}

TEST(connect, privdata_stored_directly_is_destroyed_too, "97") {
    redisContext *c = live();

    c->privdata = &destroyed;
    c->free_privdata = destroy;
    redisFree(c);
    CHECK_INT(destroyed, 1);
}

TEST(connect, an_unknown_type_gives_no_context, "98") {
    static const int type[] = {3, -1, 12345};

    alloc_count_begin();
    for (int i = 0; i < 3; i++) {
        redisOptions o = {0};
        o.type = type[i];
        o.endpoint.tcp.ip = "127.0.0.1";
        o.endpoint.tcp.port = live_port();
        REDIS_OPTIONS_SET_PRIVDATA(&o, &o, destroy);
        CHECK(redisConnectWithOptions(&o) == NULL);
        CHECK_INT(destroyed, i + 1); /* the context that was begun has been released */
    }
    alloc_count_end();
}
#endif

TEST(connect, freeing_no_context_does_nothing, "95") {
    redisFree(NULL);
}

#if HIREDIS_MAJOR >= 1
/* ---- Allocation failure ---- */

static redisOptions every_option(int how) {
    static struct timeval connect_timeout = {5, 0}, command_timeout = {5, 0};
    redisOptions o = {0};

    if (how % 2 == 0) {
        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
        o.endpoint.tcp.source_addr = "127.0.0.1";
        o.options |= REDIS_OPT_REUSEADDR | REDIS_OPT_PREFER_IP_UNSPEC;
    } else {
        REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    }
    o.options |= REDIS_OPT_SET_SOCK_CLOEXEC;
    if (how >= 2)
        o.options |= REDIS_OPT_NONBLOCK;
    o.connect_timeout = &connect_timeout;
    o.command_timeout = &command_timeout;
    return o;
}

static redisContext *connect_somehow(int how, int fd) {
    redisOptions o;

    switch (how) {
    case 4:
        return redisConnect("127.0.0.1", live_port());
    case 5:
        return redisConnectUnix(live_unix());
    case 6:
        return redisConnectFd(fd);
    case 7:
        return redisConnectBindNonBlockWithReuse("127.0.0.1", live_port(), "127.0.0.1");
    case 8:
        return redisConnect("localhost", live_port());
    default:
        o = every_option(how);
        return redisConnectWithOptions(&o);
    }
}

TEST(connect, a_failing_allocation_is_reported_whichever_it_is, "5") {
    for (int how = 0; how <= 8; how++) {
        size_t k, failed;

        for (k = 1;; k++) {
            int fd[2], first = dup(0), after;
            redisContext *c;

            close(first);
            hand_pair(fd);
            alloc_count_begin();
            alloc_fail_at(k);
            c = connect_somehow(how, fd[0]);
            failed = alloc_failures();
            alloc_fail_never();
            if (failed == 0)
                CHECK_NO_ERROR(c);
            else if (c != NULL)
                CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
            redisFree(c);
            alloc_count_end();
            if (how != 6 || c == NULL)
                close(fd[0]);
            close(fd[1]);
            after = dup(0);
            CHECK_INT(after, first); /* no descriptor is left open */
            close(after);
            if (failed == 0)
                break;
        }
        CHECK(k > 3); /* a context, a buffer and a reader at least */
    }
}

TEST(connect, without_any_memory_there_is_no_context, "1") {
    redisOptions o = every_option(0);

    alloc_count_begin();
    alloc_fail_from(1);
    CHECK(redisConnect("127.0.0.1", live_port()) == NULL);
    CHECK(redisConnectWithTimeout("127.0.0.1", live_port(), seconds(1)) == NULL);
    CHECK(redisConnectNonBlock("127.0.0.1", live_port()) == NULL);
    CHECK(redisConnectBindNonBlock("127.0.0.1", live_port(), "127.0.0.1") == NULL);
    CHECK(redisConnectBindNonBlockWithReuse("127.0.0.1", live_port(), "127.0.0.1") == NULL);
    CHECK(redisConnectUnix(live_unix()) == NULL);
    CHECK(redisConnectUnixWithTimeout(live_unix(), seconds(1)) == NULL);
    CHECK(redisConnectUnixNonBlock(live_unix()) == NULL);
    CHECK(redisConnectFd(-1) == NULL);
    CHECK(redisConnectWithOptions(&o) == NULL);
    alloc_fail_never();
    alloc_count_end();
}

TEST(connect, a_context_that_ran_out_of_memory_can_be_connected_again, "5") {
    for (size_t k = 1;; k++) {
        redisContext *c;
        size_t failed;

        alloc_count_begin();
        alloc_fail_at(k);
        c = connect_somehow(0, -1);
        failed = alloc_failures();
        alloc_fail_never();
        if (c != NULL && c->err != 0) {
            CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
            if (redisReconnect(c) == REDIS_OK)
                CHECK_STR(command_text(c, "PING"), "+PONG");
            else /* the host's copy failed, so there is nowhere to go */
                CHECK_ERROR(c, REDIS_ERR_OTHER, "Not enough information to reconnect");
        }
        redisFree(c);
        alloc_count_end();
        if (failed == 0)
            break;
    }
}
#endif
