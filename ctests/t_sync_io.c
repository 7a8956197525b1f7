/* What a blocking connection does to its buffers and descriptor, and what programs do to them: buffer reads
 * and writes, the function table, obuf and other fields edited from outside, timeouts, signals. */
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake.h"
#include "syscalls.h"

/* ---- Timeouts ---- */

static void check_timeouts(int fd, long sec, long usec) {
    static const int name[] = {SO_RCVTIMEO, SO_SNDTIMEO};

    for (int i = 0; i < 2; i++) {
        struct timeval tv;
        socklen_t len = sizeof tv;

        CHECK_INT(getsockopt(fd, SOL_SOCKET, name[i], &tv, &len), 0);
        CHECK_INT(tv.tv_sec, sec);
        /* The kernel counts in ticks of up to 10 ms. */
        CHECK(labs((long)tv.tv_usec - usec) <= 10000);
    }
}

TEST(sync, a_command_within_its_timeout_works, "116") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisSetTimeout(c, seconds(10.5)), REDIS_OK);
    check_timeouts(c->fd, 10, 500000);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(redisSetTimeout(c, seconds(20)), REDIS_OK);
    check_timeouts(c->fd, 20, 0);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(redisSetTimeout(c, seconds(0)), REDIS_OK); /* none */
    check_timeouts(c->fd, 0, 0);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_late_reply_is_an_io_error_with_eagain, "117") {
    int peer;
    redisContext *c;
    double start = test_now();

    alloc_count_begin();
    c = pair_context(&peer);
    CHECK_INT(redisSetTimeout(c, seconds(0.05)), REDIS_OK);
    CHECK(redisCommand(c, "GET slow") == NULL);
    CHECK_INT(errno, EAGAIN);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    CHECK(test_now() - start < 10);
    CHECK(c->fd >= 0 && is_open(c->fd));
    hand_expect_str(peer, "*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, a_server_that_does_not_read_is_an_io_error_with_eagain, "117") {
    int peer;
    redisContext *c;
    char *value = test_bytes(8 << 20);

    memset(value, 'v', 8 << 20);
    alloc_count_begin();
    c = pair_context(&peer);
    CHECK_INT(redisSetTimeout(c, seconds(0.05)), REDIS_OK);
    CHECK(redisCommand(c, "SET k %b", value, (size_t)8 << 20) == NULL);
    CHECK_INT(errno, EAGAIN);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    CHECK(sdslen(c->obuf) > 0 && sdslen(c->obuf) <= (8 << 20) + 100); /* the unsent rest */
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, after_a_timeout_reconnecting_restores_service, "119") {
    redisContext *c;

    alloc_count_begin();
    c = live_tcp();
    CHECK_INT(redisSetTimeout(c, seconds(0.1)), REDIS_OK);
    CHECK(redisCommand(c, "DEBUG SLEEP 0.5") == NULL);
    CHECK_INT(c->err, REDIS_ERR_IO);
    /* the server still sleeps */
    test_sleep_ms(600);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_NO_ERROR(c);
    check_timeouts(c->fd, 0, 100000);
    CHECK_INT(redisSetTimeout(c, seconds(20)), REDIS_OK);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, the_program_may_clear_a_timeout_and_read_on, "117") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    CHECK_INT(redisSetTimeout(c, seconds(0.05)), REDIS_OK);
    hand_send_str(peer, "*2\r\n$3\r\nfoo\r\n$3\r\nb");
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    /* as redis-plus-plus does when it waits for messages */
    c->err = 0;
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_INT(errno, EAGAIN);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    c->err = 0;
    hand_send_str(peer, "ar\r\n+next\r\n");
    CHECK_STR(next_reply(c), "*[\"foo\" \"bar\"]");
    CHECK_STR(next_reply(c), "+next");
    CHECK_INT(c->err, 0);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, the_program_may_mark_a_context_as_broken, "117") {
    int peer, done = 7;
    redisContext *c = pair_context(&peer);

    hand_send_str(peer, "+PONG\r\n");
    c->err = -1; /* as redis-plus-plus does */
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_ERR);
    CHECK_INT(done, 7);
    CHECK_INT(c->err, -1);
    hand_expect_quiet(peer);
    redisFree(c);
    close(peer);
}

TEST(sync, a_timeout_for_a_non_blocking_context_is_refused_without_an_error, "124") {
    redisContext *c;

    alloc_count_begin();
    c = redisConnectUnixNonBlock(live_unix());
    CHECK_INT(redisSetTimeout(c, seconds(1)), REDIS_ERR);
    CHECK_NO_ERROR(c);
#if HIREDIS_MAJOR >= 1
    CHECK(c->command_timeout == NULL);
#endif
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_timeout_the_kernel_refuses_is_reported, "") {
    struct timeval bad = {0, 2000000};
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisSetTimeout(c, bad), REDIS_ERR);
    CHECK_INT(errno, EDOM);
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(SO_RCVTIMEO): Numerical argument out of domain");
    CHECK(is_open(c->fd));
    redisFree(c);

    c = live();
    close(c->fd);
    c->fd = -1;
    CHECK_INT(redisSetTimeout(c, seconds(1)), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(SO_RCVTIMEO): Bad file descriptor");
    redisFree(c);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1
static int refuse_sndtimeo(int fd, int level, int name, const void *value, socklen_t len) {
    if (level == SOL_SOCKET && name == SO_SNDTIMEO) {
        errno = ENOBUFS;
        return -1;
    }
    return real_setsockopt(fd, level, name, value, len);
}

TEST(sync, a_refused_send_timeout_is_reported, "") {
    redisContext *c = live();

    instead.setsockopt = refuse_sndtimeo;
    CHECK_INT(redisSetTimeout(c, seconds(1)), REDIS_ERR);
    instead.setsockopt = NULL;
    CHECK_ERROR(c, REDIS_ERR_IO, "setsockopt(SO_SNDTIMEO): No buffer space available");
    redisFree(c);
}

TEST(sync, the_command_timeout_is_stored_and_applied_again, "119") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK(c->command_timeout == NULL);
    CHECK_INT(redisSetTimeout(c, seconds(7.25)), REDIS_OK);
    CHECK_INT(c->command_timeout->tv_sec, 7);
    CHECK_INT(c->command_timeout->tv_usec, 250000);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    check_timeouts(c->fd, 7, 250000);
    redisFree(c);
    alloc_count_end();
}

static ssize_t timed_out_recv(int fd, void *buf, size_t cap, int flags) {
    (void)fd, (void)buf, (void)cap, (void)flags;
    errno = ETIMEDOUT;
    return -1;
}

TEST(sync, a_connection_that_the_kernel_gave_up_is_a_timeout, "") {
    int peer;
    redisContext *c = pair_context(&peer);

    instead.recv = timed_out_recv;
    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_INT(errno, ETIMEDOUT);
    CHECK_ERROR(c, REDIS_ERR_TIMEOUT, "recv timeout");
    c->err = 0;
    c->flags &= ~REDIS_BLOCK;
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, "Connection timed out");
    instead.recv = NULL;
    redisFree(c);
    close(peer);
}
#endif

/* ---- Socket options ---- */

TEST(sync, keepalive_works_on_tcp, "125 126") {
    redisContext *c;

    alloc_count_begin();
    c = live_tcp();
    CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_INT(redisEnableKeepAlive(c), REDIS_OK);
    CHECK_INT(socket_option(c->fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");

    /* on a given descriptor as well */
    c = redisConnectFd(redisFreeKeepFd(c));
    CHECK_INT(redisKeepAlive(c, 60), REDIS_OK);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    CHECK_INT(redisEnableKeepAlive(c), REDIS_OK);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, keepalive_on_a_unix_socket_is_refused_without_an_error, "125") {
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisEnableKeepAlive(c), REDIS_ERR);
    CHECK_NO_ERROR(c);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1
TEST(sync, the_keepalive_interval_is_divided, "126") {
    static const int interval[] = {1, 2, 3, 6, 60, 300};
    redisContext *c = live_tcp();

    for (size_t i = 0; i < sizeof interval / sizeof *interval; i++) {
        int n = interval[i];

        CHECK_INT(redisEnableKeepAliveWithInterval(c, n), REDIS_OK);
        CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE), n);
        CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPINTVL), n < 6 ? 1 : n / 3);
        CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    }
    CHECK_INT(redisKeepAlive(c, 30), REDIS_OK);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    redisFree(c);
}

TEST(sync, a_refused_keepalive_is_reported_and_the_connection_stays, "126") {
    static const int bad[] = {0, -1, 100000};
    int peer;
    redisContext *c;

    for (int i = 0; i < 3; i++) {
        c = live_tcp();
        CHECK_INT(redisEnableKeepAliveWithInterval(c, bad[i]), REDIS_ERR);
        CHECK_ERROR(c, REDIS_ERR_OTHER, "Invalid argument");
        CHECK(is_open(c->fd));
        redisFree(c);
    }
    /* a unix socket in disguise */
    c = pair_context(&peer);
    CHECK_INT(redisEnableKeepAlive(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Operation not supported");
    CHECK(is_open(c->fd));
    redisFree(c);
    close(peer);
}

TEST(sync, the_user_timeout_is_set, "127") {
    redisContext *c;

    alloc_count_begin();
    c = live_tcp();
    CHECK_INT(redisSetTcpUserTimeout(c, 12345), REDIS_OK);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(redisContextSetTcpUserTimeout(c, 54321), REDIS_OK);
    CHECK_INT(socket_option(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 54321);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_refused_user_timeout_closes_the_connection, "127") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisSetTcpUserTimeout(c, 100), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_IO, test_printf("setsockopt(TCP_USER_TIMEOUT): %s", strerror(EOPNOTSUPP)));
    CHECK_INT(c->fd, -1);
    redisFree(c);

    c = pair_context(&peer);
    CHECK_INT(redisSetTcpUserTimeout(c, 100), REDIS_ERR);
    CHECK_INT(errno, EOPNOTSUPP);
    CHECK_INT(c->fd, -1);
    hand_expect_eof(peer);
    redisFree(c);
    alloc_count_end();
    close(peer);
}
#endif

/* ---- Signals ---- */

TEST(sync, signals_do_not_fail_a_command, "94") {
    fake *f = fake_new();
    redisContext *c;
    int count;

    fake_accept(f);
    fake_expect_str(f, "*1\r\n$4\r\nPING\r\n");
    fake_sleep(f, 150);
    fake_send_str(f, "*2\r\n:1\r\n");
    fake_sleep(f, 150);
    fake_send_str(f, ":2\r\n");
    fake_expect_eof(f);
    fake_start(f);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    alarms(5);
    CHECK_STR(command_text(c, "PING"), "*[:1 :2]");
    count = alarms(0);
    CHECK(count > 2);
    redisFree(c);
    fake_finish(f);
}

static redisContext *cut_off;

static void close_under_the_call(int sig) {
    (void)sig;
    /* as redis-cli does when the user types ^C */
    close(cut_off->fd);
    cut_off->fd = -1;
}

TEST(sync, a_signal_handler_may_close_the_descriptor_under_a_blocked_read, "94") {
    struct itimerval once = {{0, 0}, {0, 100000}};
    struct sigaction sa;
    int peer;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = close_under_the_call;
    sigaction(SIGALRM, &sa, NULL);
    alloc_count_begin();
    cut_off = pair_context(&peer);
    setitimer(ITIMER_REAL, &once, NULL);
    CHECK(redisCommand(cut_off, "MONITOR") == NULL);
    CHECK_INT(errno, EBADF);
    CHECK_ERROR(cut_off, REDIS_ERR_IO, "Bad file descriptor");
    CHECK_INT(cut_off->fd, -1);
    redisFree(cut_off);
    alloc_count_end();
    hand_expect_str(peer, "*1\r\n$7\r\nMONITOR\r\n");
    hand_expect_eof(peer);
    close(peer);
}

TEST(sync, after_that_a_reconnect_works, "94") {
    struct itimerval once = {{0, 0}, {0, 100000}};
    struct sigaction sa;

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = close_under_the_call;
    sigaction(SIGALRM, &sa, NULL);
    cut_off = live();
    CHECK_STR(command_text(cut_off, "MONITOR"), "+OK");
    setitimer(ITIMER_REAL, &once, NULL);
    CHECK_INT(redisGetReply(cut_off, NULL), REDIS_ERR);
    CHECK_INT(cut_off->fd, -1);
    CHECK_INT(redisReconnect(cut_off), REDIS_OK);
    CHECK_STR(command_text(cut_off, "PING"), "+PONG");
    redisFree(cut_off);
}

/* ---- obuf and reader in the hands of the program ---- */

/* A program's own copy of the sds functions: it knows the headers and the allocator, not the library. */
static const int foreign_header[] = {1, 3, 5, 9, 17};

static void *foreign_malloc(size_t n) {
#if HIREDIS_MAJOR >= 1
    return hi_malloc(n);
#else
    return malloc(n);
#endif
}

static void foreign_free(char *s) {
    char *block = s - foreign_header[s[-1] & 7];
#if HIREDIS_MAJOR >= 1
    hi_free(block);
#else
    free(block);
#endif
}

static char *foreign_new(int type, const void *bytes, size_t len, size_t spare) {
    size_t alloc = len + spare;
    char *block = foreign_malloc((size_t)foreign_header[type] + alloc + 1), *s = block + foreign_header[type];

    s[-1] = (char)type;
    switch (type) {
    case 0:
        s[-1] = (char)(len << 3);
        break;
    case 1:
        block[0] = (char)len;
        block[1] = (char)alloc;
        break;
    case 2:
        memcpy(block, &(uint16_t){(uint16_t)len}, 2);
        memcpy(block + 2, &(uint16_t){(uint16_t)alloc}, 2);
        break;
    case 3:
        memcpy(block, &(uint32_t){(uint32_t)len}, 4);
        memcpy(block + 4, &(uint32_t){(uint32_t)alloc}, 4);
        break;
    default:
        memcpy(block, &(uint64_t){len}, 8);
        memcpy(block + 8, &(uint64_t){alloc}, 8);
        break;
    }
    memcpy(s, bytes, len);
    s[len] = '\0';
    return s;
}

#define PING "*1\r\n$4\r\nPING\r\n"
#define ECHO_X "*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n"

TEST(sync, obuf_may_be_an_sds_of_any_type, "130") {
    for (int type = 0; type <= 4; type++) {
        for (size_t spare = 0; spare <= 120; spare += 40) {
            int peer, done = 0;
            redisContext *c;

            if (type == 0 && spare > 0)
                continue;
            alloc_count_begin();
            c = pair_context(&peer);
            CHECK_INT(redisAppendCommand(c, "ECHO x"), REDIS_OK);
            CHECK_MEM(c->obuf, sdslen(c->obuf), ECHO_X);
            foreign_free(c->obuf);
            c->obuf = foreign_new(type, PING, sizeof PING - 1, spare);
            CHECK_INT(redisAppendCommand(c, "ECHO x"), REDIS_OK);
            CHECK_MEM(c->obuf, sdslen(c->obuf), PING ECHO_X);
            CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
            CHECK_INT(done, 1);
            CHECK_UINT(sdslen(c->obuf), 0);
            hand_expect_str(peer, PING ECHO_X);
            redisFree(c);
            alloc_count_end();
            close(peer);
        }
    }
}

TEST(sync, the_program_may_append_to_obuf_cut_it_and_clear_it, "130") {
    int peer, done = 0;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    /* as redis-cli and redis-benchmark do */
    c->obuf = sdscatlen(c->obuf, PING PING, 2 * (sizeof PING - 1));
    CHECK_INT(redisAppendCommand(c, "ECHO x"), REDIS_OK);
    sdsrange(c->obuf, sizeof PING - 1, -1);
    CHECK_MEM(c->obuf, sdslen(c->obuf), PING ECHO_X);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 1);
    hand_expect_str(peer, PING ECHO_X);

    CHECK_INT(redisAppendCommand(c, "ECHO x"), REDIS_OK);
    sdsclear(c->obuf);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 1);
    hand_expect_quiet(peer);

    c->obuf = sdscatlen(c->obuf, PING, sizeof PING - 1);
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(next_reply(c), "+PONG");
    hand_expect_str(peer, PING);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, the_programs_settings_of_the_reader_are_used, "82") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    c->reader->maxbuf = 0; /* as redis-benchmark does */
#if HIREDIS_MAJOR >= 1
    c->reader->maxelements = 3;
#endif
    hand_send_str(peer, "*3\r\n:1\r\n:2\r\n:3\r\n*4\r\n");
    CHECK_STR(next_reply(c), "*[:1 :2 :3]");
#if HIREDIS_MAJOR >= 1
    CHECK_INT(redisGetReply(c, NULL), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_PROTOCOL, "Multi-bulk length out of range");
#endif
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, a_reader_without_object_functions_gives_type_numbers, "70") {
    int peer;
    redisContext *c = pair_context(&peer);
    void *reply = NULL;

    c->reader->fn = NULL;
    hand_send_str(peer, "+OK\r\n:5\r\n");
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK_UINT((uintptr_t)reply, REDIS_REPLY_STATUS);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK_UINT((uintptr_t)reply, REDIS_REPLY_INTEGER);
    redisFree(c);
    close(peer);
}

#if HIREDIS_MAJOR >= 1
static int objects_freed;

static void *an_object(const redisReadTask *task, char *s, size_t len) {
    (void)task, (void)s, (void)len;
    return &objects_freed;
}

static void count_object(void *object) {
    CHECK(object == &objects_freed);
    objects_freed++;
}

TEST(sync, objects_of_the_program_are_freed_by_its_own_function, "") {
    static redisReplyObjectFunctions fn;
    int peer;
    redisContext *c = pair_context(&peer);
    void *reply = NULL;

    fn.createString = an_object;
    fn.freeObject = count_object;
    c->reader->fn = &fn;
    hand_send_str(peer, "+1\r\n+2\r\n+3\r\n");
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == &objects_freed);
    CHECK_INT(redisGetReply(c, NULL), REDIS_OK);
    CHECK_INT(objects_freed, 1);
    CHECK_INT(redisGetReplyFromReader(c, NULL), REDIS_OK);
    CHECK_INT(objects_freed, 2);
    redisFree(c);
    CHECK_INT(objects_freed, 2);
    close(peer);
}
#endif

TEST(sync, get_reply_from_reader_does_no_io_and_ignores_the_error, "121") {
    int peer;
    redisContext *c = pair_context(&peer);
    void *reply = &peer;

    hand_send_str(peer, "+a\r\n+b\r\n");
    CHECK_INT(redisGetReplyFromReader(c, &reply), REDIS_OK);
    CHECK(reply == NULL);
    CHECK_INT(redisBufferRead(c), REDIS_OK);
    c->err = REDIS_ERR_IO;
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_INT(redisGetReplyFromReader(c, &reply), REDIS_OK);
    CHECK_REPLY_STATUS((redisReply *)reply, "a");
    freeReplyObject(reply);
    CHECK_INT(redisGetReplyFromReader(c, &reply), REDIS_OK);
    CHECK_REPLY_STATUS((redisReply *)reply, "b");
    freeReplyObject(reply);
    CHECK_INT(redisGetReplyFromReader(c, &reply), REDIS_OK);
    CHECK(reply == NULL);
    hand_expect_quiet(peer);
    CHECK_INT(c->err, REDIS_ERR_IO);
    redisFree(c);
    close(peer);
}

/* ---- Contexts that are memory ---- */

TEST(sync, a_context_of_zeroes_can_be_freed, "95") {
    /* a sentinel wrapper gives its user one of these, with only err set */
    redisContext *c = calloc(1, sizeof *c);

    c->err = REDIS_ERR_OTHER;
    strcpy(c->errstr, "no master");
    redisFree(c);
    CHECK(is_open(0)); /* it never was the context's */
}

#if HIREDIS_MAJOR >= 1
TEST(sync, a_context_of_zeroes_is_an_error_to_every_call, "95") {
    redisContext *c;
    const char *argv[] = {"PING"};
    void *reply = &reply;
    int done = 7;

    alloc_count_begin();
    c = hi_calloc(1, sizeof *c);
    c->flags = REDIS_BLOCK;
    CHECK(redisCommand(c, "PING") == NULL);
    c->err = 0;
    CHECK(redisCommandArgv(c, 1, argv, NULL) == NULL);
    c->err = 0;
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK(c->err != 0);
    c->err = 0;
    redisBufferWrite(c, &done);
    c->err = 0;
    CHECK_INT(redisGetReply(c, &reply), REDIS_ERR);
    CHECK(reply == &reply);
    CHECK_INT(redisGetReplyFromReader(c, NULL), REDIS_ERR);
    redisFree(c);

    c = hi_calloc(1, sizeof *c);
    CHECK_INT(redisReconnect(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "Not enough information to reconnect");
    redisFree(c);
    alloc_count_end();
    CHECK(is_open(0));
}
#endif

TEST(sync, a_context_may_be_moved_by_memcpy, "95") {
    redisContext *original = live(), *copy = malloc(sizeof *copy);

    CHECK_STR(command_text(original, "PING"), "+PONG");
    CHECK_INT(redisAppendCommand(original, "ECHO %s", "moved"), REDIS_OK);
    memcpy(copy, original, sizeof *copy);
    memset(original, 0x5a, sizeof *original);
    free(original); /* as Asterisk's func_redis does */
    CHECK_STR(next_reply(copy), "\"moved\"");
    CHECK_STR(command_text(copy, "PING"), "+PONG");
    CHECK_INT(redisReconnect(copy), REDIS_OK);
    CHECK_STR(command_text(copy, "PING"), "+PONG");
    redisFree(copy);
}

/* ---- Buffer writes and reads ---- */

#if HIREDIS_MAJOR >= 1
/* A transport of the program's own. */
static struct {
    const char *input;     /* what read gives, */
    size_t piece;          /* at most this many bytes at once */
    ssize_t take;          /* what write returns, at most */
    char output[4096];
    size_t output_len, cap;
    int reads, writes, closes, frees;
    void *freed;
} wire;

static void wire_close(redisContext *c) {
    (void)c;
    wire.closes++;
}

static void wire_free(void *privctx) {
    wire.frees++;
    wire.freed = privctx;
}

static void wire_async(struct redisAsyncContext *ac) {
    (void)ac;
    FAIL("a blocking context uses the asynchronous functions");
}

static ssize_t wire_read(redisContext *c, char *buf, size_t cap) {
    size_t n = strlen(wire.input);

    wire.reads++;
    wire.cap = cap;
    if (n == 0) {
        c->err = REDIS_ERR_OTHER;
        strcpy(c->errstr, "wire is dry");
        return -1;
    }
    if (n > wire.piece)
        n = wire.piece;
    if (n > cap)
        n = cap;
    memcpy(buf, wire.input, n);
    wire.input += n;
    return (ssize_t)n;
}

static ssize_t wire_write(redisContext *c) {
    size_t n = sdslen(c->obuf);

    wire.writes++;
    if (wire.take < 0) {
        c->err = REDIS_ERR_OTHER;
        strcpy(c->errstr, "wire is cut");
        return -1;
    }
    if (n > (size_t)wire.take)
        n = (size_t)wire.take;
    if (wire.output_len + n > sizeof wire.output)
        FAIL("more output than the test takes");
    memcpy(wire.output + wire.output_len, c->obuf, n);
    wire.output_len += n;
    return (ssize_t)n;
}

static redisContextFuncs wire_funcs = {wire_close, wire_free, wire_async, wire_async, wire_read, wire_write};

static redisContext *wired(const char *input, size_t piece, ssize_t take) {
    redisContext *c = redisConnectFd(-1);

    CHECK_NO_ERROR(c);
    memset(&wire, 0, sizeof wire);
    wire.input = input;
    wire.piece = piece;
    wire.take = take;
    c->funcs = &wire_funcs;
    return c;
}

TEST(sync, all_bytes_move_through_the_function_table, "129") {
    redisContext *c;
    int privctx;

    alloc_count_begin();
    c = wired("+OK\r\n$3\r\nbar\r\n", 4, 5);
    c->privctx = &privctx;
    CHECK_STR(command_text(c, "SET foo bar"), "+OK");
    CHECK_STR(command_text(c, "GET foo"), "\"bar\"");
    CHECK_MEM(wire.output, wire.output_len,
              "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$3\r\nbar\r\n*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n");
    CHECK_INT(wire.writes, 12);
    CHECK_INT(wire.reads, 4);
    CHECK(redisCommand(c, "GET foo") == NULL);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "wire is dry");
    redisFree(c);
    CHECK_INT(wire.closes, 1);
    CHECK_INT(wire.frees, 1);
    CHECK(wire.freed == &privctx);
    alloc_count_end();
}

TEST(sync, a_failing_write_of_the_function_table_fails_the_command, "129") {
    redisContext *c = wired("+OK\r\n", 100, -1);

    CHECK(redisCommand(c, "PING") == NULL);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "wire is cut");
    CHECK_INT(wire.writes, 1);
    CHECK_INT(wire.reads, 0);
    CHECK_MEM(c->obuf, sdslen(c->obuf), PING);
    redisFree(c);
}

TEST(sync, free_privctx_is_called_even_without_a_privctx, "") {
    redisContext *c = wired("", 1, 1);

    redisFree(c);
    CHECK_INT(wire.frees, 1);
    CHECK(wire.freed == NULL);
    CHECK_INT(wire.closes, 1);
}

TEST(sync, a_function_table_need_not_close_or_free, "") {
    redisContextFuncs bare = {NULL, NULL, wire_async, wire_async, wire_read, wire_write};
    int peer, fd, privctx;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    fd = c->fd;
    memset(&wire, 0, sizeof wire);
    wire.input = "";
    c->funcs = &bare;
    c->privctx = &privctx;
    redisFree(c);
    alloc_count_end();
    CHECK(is_open(fd));
    close(fd);
    close(peer);
}

TEST(sync, redis_free_keep_fd_releases_the_transport, "99") {
    int peer, fd;
    redisContext *c = pair_context(&peer);

    fd = c->fd;
    memset(&wire, 0, sizeof wire);
    wire.input = "";
    c->funcs = &wire_funcs;
    CHECK_INT(redisFreeKeepFd(c), fd);
    CHECK_INT(wire.frees, 1);
    CHECK(is_open(fd));
    close(fd);
    close(peer);
}

TEST(sync, reconnecting_goes_back_to_the_default_transport, "119") {
    redisContext *c;
    const redisContextFuncs *standard;
    int privctx;

    alloc_count_begin();
    c = live();
    standard = c->funcs;
    memset(&wire, 0, sizeof wire);
    wire.input = "";
    c->funcs = &wire_funcs;
    c->privctx = &privctx;
    close(c->fd);
    CHECK_INT(redisReconnect(c), REDIS_OK);
    CHECK_INT(wire.frees, 1);
    CHECK(wire.freed == &privctx);
    CHECK_INT(wire.closes, 1);
    CHECK(c->privctx == NULL);
    CHECK(c->funcs == standard);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    CHECK_INT(wire.frees, 1);
    alloc_count_end();
}

TEST(sync, one_buffer_read_is_one_read, "129") {
    size_t len = 200000;
    char *input = test_bytes(len + 1);
    redisContext *c;

    for (size_t i = 0; i < len; i += 4)
        memcpy(input + i, ":7\r\n", 4);
    input[len] = '\0';
    alloc_count_begin();
    c = wired(input, SIZE_MAX, 0);
    for (int i = 1; wire.input < input + len; i++) {
        const char *before = wire.input;

        CHECK_INT(redisBufferRead(c), REDIS_OK);
        CHECK_INT(wire.reads, i);
        CHECK(wire.cap > 0);
        CHECK(wire.input > before);
    }
    CHECK_UINT(c->reader->len - c->reader->pos, len);
    for (size_t i = 0; i < len / 4; i++)
        CHECK_INT(redisGetReply(c, NULL), REDIS_OK);
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "wire is dry");
    redisFree(c);
    alloc_count_end();
}

static ssize_t read_nothing(redisContext *c, char *buf, size_t cap) {
    (void)c, (void)buf, (void)cap;
    wire.reads++;
    return 0;
}

TEST(sync, a_read_of_nothing_is_no_error, "129") {
    redisContextFuncs funcs = wire_funcs;
    redisContext *c = wired("", 1, 1);

    funcs.read = read_nothing;
    c->funcs = &funcs;
    CHECK_INT(redisBufferRead(c), REDIS_OK);
    CHECK_INT(wire.reads, 1);
    CHECK_UINT(c->reader->len, 0);
    CHECK_NO_ERROR(c);
    c->err = REDIS_ERR_IO;
    CHECK_INT(redisBufferRead(c), REDIS_ERR);
    CHECK_INT(wire.reads, 1);
    redisFree(c);
}

TEST(sync, a_partial_write_leaves_exactly_the_rest, "129") {
    redisContext *c;
    int done = 7;

    alloc_count_begin();
    c = wired("", 1, 0);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 1); /* there is nothing to write, */
    CHECK_INT(wire.writes, 0); /* and nothing is */

    c->obuf = sdscatlen(c->obuf, "0123456789", 10);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK); /* try again later */
    CHECK_INT(done, 0);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "0123456789");
    wire.take = 1;
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 0);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "123456789");
    wire.take = 6;
    CHECK_INT(redisBufferWrite(c, NULL), REDIS_OK);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "789");
    c->obuf = sdscatlen(c->obuf, "ab", 2);
    wire.take = 4;
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 0);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "b");
    CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
    CHECK_INT(done, 1);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "");
    CHECK_MEM(wire.output, wire.output_len, "0123456789ab");
    CHECK_INT(wire.writes, 5);
    redisFree(c);
    alloc_count_end();
}

TEST(sync, a_failed_write_leaves_obuf_and_done_alone, "129") {
    redisContext *c = wired("", 1, -1);
    int done = 7;

    c->obuf = sdscatlen(c->obuf, "0123456789", 10);
    CHECK_INT(redisBufferWrite(c, &done), REDIS_ERR);
    CHECK_ERROR(c, REDIS_ERR_OTHER, "wire is cut");
    CHECK_INT(done, 7);
    CHECK_MEM(c->obuf, sdslen(c->obuf), "0123456789");
    CHECK_INT(redisBufferWrite(c, &done), REDIS_ERR);
    CHECK_INT(wire.writes, 1); /* an error that stands: nothing is tried */
    CHECK_INT(done, 7);
    redisFree(c);
}

/* However the bytes of a burst are cut: what is read is given back, not kept for the next one. */
TEST(sync, an_idle_connection_keeps_no_buffer_after_a_burst, "81") {
    static const size_t bursts[] = {20000, 100000, 4 << 20};
    for (size_t i = 0; i < sizeof(bursts) / sizeof(*bursts); i++) {
        size_t n = bursts[i] / 5, got = 0, at = 0;
        char *bytes = test_bytes(5 * n);
        int peer;
        redisContext *c = pair_context(&peer);

        c->flags &= ~REDIS_BLOCK;
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        fcntl(peer, F_SETFL, O_NONBLOCK);
        for (size_t k = 0; k < n; k++) memcpy(bytes + 5 * k, "+ok\r\n", 5);
        while (got < n) {
            void *reply;
            ssize_t sent = at < 5 * n ? write(peer, bytes + at, 5 * n - at) : 0;

            if (sent > 0) at += (size_t)sent;
            CHECK_INT(redisBufferRead(c), REDIS_OK);
            while (redisReaderGetReply(c->reader, &reply) == REDIS_OK && reply != NULL) {
                freeReplyObject(reply);
                got++;
            }
        }
        CHECK(sdsalloc(c->reader->buf) <= 1 << 14);
        redisFree(c);
        close(peer);
    }
}

TEST(sync, a_buffer_that_has_been_written_gives_its_memory_back, "129") {
    redisContext *c;
    int peer, done = 0;
    size_t len = 4 << 20;
    char *value = test_bytes(len), *sink = test_bytes(1 << 16);

    memset(value, 'v', len);
    alloc_count_begin();
    c = pair_context(&peer);
    c->flags &= ~REDIS_BLOCK;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    CHECK_INT(redisAppendCommand(c, "SET k %b", value, len), REDIS_OK);
    while (!done) {
        size_t before = sdslen(c->obuf);

        CHECK_INT(redisBufferWrite(c, &done), REDIS_OK);
        CHECK(done == (sdslen(c->obuf) == 0));
        if (hand_read_now(peer, sink, 1 << 16) == 0)
            CHECK(sdslen(c->obuf) < before);
    }
    CHECK(sdsalloc(c->obuf) < 1 << 16);
    CHECK(alloc_live_bytes() < 1 << 17);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(sync, the_tables_write_sends_and_leaves_obuf, "118") {
    redisContext *c;
    size_t len;

    alloc_count_begin();
    c = live();
    CHECK_INT(redisAppendCommand(c, "ECHO %s", "by hand"), REDIS_OK);
    len = sdslen(c->obuf);
    CHECK_INT(c->funcs->write(c), len);
    CHECK_UINT(sdslen(c->obuf), len);
    sdsfree(c->obuf);
    c->obuf = sdsempty();
    CHECK_STR(next_reply(c), "\"by hand\"");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(sync, the_tables_read_gives_raw_bytes, "118") {
    char buf[64];
    int peer;
    redisContext *c = pair_context(&peer);

    /* as redis-cli does for the stream of a replica */
    hand_send_str(peer, "$EOF:raw");
    CHECK_INT(c->funcs->read(c, buf, 5), 5);
    CHECK_INT(c->funcs->read(c, buf + 5, sizeof buf - 5), 3);
    CHECK_MEM(buf, 8, "$EOF:raw");
    CHECK_UINT(c->reader->len, 0);

    c->flags &= ~REDIS_BLOCK;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    CHECK_INT(c->funcs->read(c, buf, sizeof buf), 0);
    CHECK_NO_ERROR(c);
    close(peer);
    CHECK(c->funcs->read(c, buf, sizeof buf) < 0);
    CHECK_ERROR(c, REDIS_ERR_EOF, "Server closed the connection");

    c->funcs->close(c);
    CHECK_INT(c->fd, -1);
    c->funcs->close(c);
    CHECK_INT(c->fd, -1);
    c->err = 0;
    CHECK(c->funcs->read(c, buf, sizeof buf) < 0);
    CHECK_ERROR(c, REDIS_ERR_IO, "Bad file descriptor");
    redisFree(c);
}
#endif
