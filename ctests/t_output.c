/* Much output that leaves in small pieces. Were the rest moved to the front for each, these sizes
 * would take minutes: the time limit of the tests tells. */
#include "async.h"
#include "sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <hiredis/sds.h>

#define PIECE ((size_t)4096)

/* 100 MiB, or what a wrapper such as valgrind can do in that time. */
static size_t value_size(void) {
    return PIECE * (getenv("TEST_WRAPPER") == NULL ? 25600 : 256);
}

/* Each piece is marked with its number. */
static char *marked(void) {
    char *value = test_bytes(value_size());
    memset(value, 'v', value_size());
    for (size_t i = 0; i < value_size() / PIECE; i++) memcpy(value + i * PIECE, &i, sizeof i);
    return value;
}

/* The bytes of SET before the value. */
static size_t beginning(void) {
    return (size_t)snprintf(NULL, 0, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", value_size());
}

TEST(output, a_hundred_megabytes_leave_an_event_loop_in_small_pieces, "211") {
    const size_t value_len = value_size(), skip = beginning(), len = skip + value_len + 2;
    char *value = marked(), *sink = test_bytes(1 << 20);
    int small = 4096;
    size_t got = 0, events = 0;
    conn c;

    conn_up(&c);
    CHECK_INT(setsockopt(c.ac->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    ask(&c, "set", "SET k %b", value, value_len);
    while (got < len) {
        if (c.writing) {
            redisAsyncHandleWrite(c.ac);
            CHECK(c.ac != NULL);
            events++;
        }
        /* What of the value has arrived, without its beginning. */
        size_t n = hand_read_now(c.server, sink, 1 << 20);
        size_t from = got > skip ? 0 : skip - got, end = skip + value_len;
        size_t to = got + n > end ? end - got : n;
        if (from < to) CHECK(memcmp(sink + from, value + (got + from - skip), to - from) == 0);
        got += n;
    }
    CHECK_UINT(got, len);
    CHECK_INT(c.writing, 0);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    serve(&c, "+OK\r\n");
    CHECK_LOG("set:+OK");
    conn_done(&c);
    if (events < value_len / 100000) SKIP("this system takes 100 kB and more into a small buffer");
}

TEST(output, a_hundred_megabytes_leave_a_blocking_context_in_small_pieces, "211") {
    fake *f = fake_new();
    char *value = marked();
    redisContext *c;
    int small = 4096;

    fake_accept(f);
    fake_drain(f, beginning() + value_size() + 2);
    fake_send_str(f, "+OK\r\n");
    fake_expect_eof(f);
    fake_start(f);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    CHECK_INT(setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_STR(command_text(c, "SET k %b", value, value_size()), "+OK");
    CHECK_UINT(sdslen(c->obuf), 0);
    redisFree(c);
    fake_finish(f);
}
