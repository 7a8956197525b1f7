/* Blocking contexts: one deadline for a whole reply, reading while writing, and the push that is a reply. */
#include "sync.h"

#if HIREDIS_MAJOR >= 1

#include <errno.h>
#include <unistd.h>

#include "fake.h"

/* ---- A deadline for the whole reply ---- */

TEST(sync, the_command_timeout_bounds_the_whole_reply, "239") {
    char slow[64];
    fake *f = fake_new();
    redisContext *c;

    memset(slow, 'x', sizeof slow);
    slow[0] = '+';
    memcpy(slow + sizeof slow - 2, "\r\n", 2);
    fake_accept(f);
    fake_drip(f, slow, sizeof slow, 60);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    CHECK_INT(redisSetTimeout(c, seconds(0.4)), REDIS_OK);
    fake_start(f);
    /* Each byte comes in time, the reply does not. */
    CHECK(redisCommand(c, "GET slow") == NULL);
    CHECK_INT(errno, EAGAIN);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    redisFree(c);
    fake_finish(f);
}

TEST(sync, signals_do_not_prolong_the_command_timeout, "239") {
    int peer;
    double start = test_now();
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisSetTimeout(c, seconds(0.4)), REDIS_OK);
    alarms(100);
    CHECK(redisCommand(c, "GET slow") == NULL);
    alarms(0);
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    CHECK(test_now() - start < 10);
    redisFree(c);
    close(peer);
}

TEST(sync, signals_do_not_prolong_the_command_timeout_of_a_write, "239") {
    int peer;
    size_t len = 8 << 20;
    char *value = test_bytes(len);
    double start = test_now();
    redisContext *c = pair_context(&peer);

    memset(value, 'v', len);
    CHECK_INT(redisSetTimeout(c, seconds(0.4)), REDIS_OK);
    alarms(100);
    CHECK(redisCommand(c, "SET big %b", value, len) == NULL);
    alarms(0);
    CHECK_INT(c->err, REDIS_ERR_IO);
    CHECK(test_now() - start < 10);
    redisFree(c);
    close(peer);
}

TEST(sync, a_slow_write_and_the_wait_for_its_reply_share_one_deadline, "117 239") {
    size_t len = 8 << 20;
    char *value = test_bytes(len);
    fake *f = fake_new();
    redisContext *c;
    double start, took;

    memset(value, 'v', len);
    fake_accept(f);
    fake_buffer(f, 4096);
    fake_sleep(f, 1300);
    fake_drain_all(f);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    CHECK_INT(redisSetTimeout(c, seconds(1.5)), REDIS_OK);
    fake_start(f);
    start = test_now();
    CHECK(redisCommand(c, "SET big %b", value, len) == NULL);
    CHECK_INT(errno, EAGAIN);
    took = test_now() - start;
    CHECK_ERROR(c, REDIS_ERR_IO, "Resource temporarily unavailable");
    /* With another whole timeout for the reply it were 2.8 s at least. */
    if (took >= 2.6)
        FAIL("it took %.2f s", took);
    redisFree(c);
    fake_finish(f);
}

TEST(sync, each_reply_has_a_deadline_of_its_own, "") {
    fake *f = fake_new();
    redisContext *c;

    fake_accept(f);
    for (int i = 0; i < 6; i++) {
        fake_sleep(f, 200);
        fake_send_str(f, "+part");
        fake_sleep(f, 200);
        fake_send_str(f, "\r\n");
    }
    fake_drain_all(f);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    CHECK_INT(redisSetTimeout(c, seconds(2)), REDIS_OK);
    for (int i = 0; i < 6; i++)
        CHECK_INT(redisAppendCommand(c, "GET slow"), REDIS_OK);
    fake_start(f);
    for (int i = 0; i < 6; i++)
        CHECK_STR(next_reply(c), "+part");
    redisFree(c);
    fake_finish(f);
}

/* ---- Reading while writing ---- */

TEST(sync, a_long_pipeline_reads_while_it_writes, "114 242") {
    enum { N = 20000, REPLY = 500 };
    fake *f = fake_new();
    char reply[REPLY + 8] = "$500\r\n";
    redisContext *c;

    memset(reply + 6, 'r', REPLY);
    memcpy(reply + 6 + REPLY, "\r\n", 2);
    /* A peer that takes the next command only once its reply has found room. */
    fake_accept(f);
    for (int i = 0; i < N; i++) {
        fake_drain(f, strlen("*2\r\n$3\r\nGET\r\n$20\r\n00000000000000000000\r\n"));
        fake_send(f, reply, 6 + REPLY + 2);
    }
    fake_expect_eof(f);
    fake_start(f);
    c = redisConnectUnix(fake_path(f));
    CHECK_NO_ERROR(c);
    for (int i = 0; i < N; i++)
        CHECK_INT(redisAppendCommand(c, "GET %020d", i), REDIS_OK);
    for (int i = 0; i < N; i++) {
        redisReply *r = NULL;

        CHECK_INT(redisGetReply(c, (void **)&r), REDIS_OK);
        CHECK_UINT(r->len, REPLY);
        freeReplyObject(r);
    }
    CHECK_UINT(sdslen(c->obuf), 0);
    redisFree(c);
    fake_finish(f);
}

/* ---- Subscribing with a push handler ---- */

static int news;

static void count_push(void *privdata, void *reply) {
    (void)privdata;
    news++;
    freeReplyObject(reply);
}

TEST(sync, the_push_that_confirms_a_subscription_is_its_reply, "221") {
    static const char *const ask_for[][2] = {
        {"SUBSCRIBE next:a", ">[\"subscribe\" \"next:a\" :1]"},
        {"PSUBSCRIBE next:*", ">[\"psubscribe\" \"next:*\" :2]"},
        {"SSUBSCRIBE next:s", ">[\"ssubscribe\" \"next:s\" :1]"},
        {"PING", "+PONG"},
        {"UNSUBSCRIBE next:a", ">[\"unsubscribe\" \"next:a\" :1]"},
        {"PUNSUBSCRIBE next:*", ">[\"punsubscribe\" \"next:*\" :0]"},
        {"SUNSUBSCRIBE next:s", ">[\"sunsubscribe\" \"next:s\" :0]"},
        {"PING", "+PONG"},
    };
    redisContext *c = live(), *other = live();

    CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
    freeReplyObject(redisCommand(c, "HELLO 3"));
    redisSetPushCallback(c, count_push);
    for (size_t i = 0; i < sizeof ask_for / sizeof *ask_for; i++)
        CHECK_STR(command_text(c, ask_for[i][0]), ask_for[i][1]);
    CHECK_INT(news, 0);
    CHECK_STR(command_text(c, "SUBSCRIBE next:a"), ">[\"subscribe\" \"next:a\" :1]");
    CHECK_STR(command_text(other, "PUBLISH next:a hello"), ":1");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(news, 1);
    redisFree(other);
    redisFree(c);
}

TEST(sync, an_unsubscribe_without_names_returns_every_confirmation, "221") {
    static const char *const kinds[][3] = {
        {"SUBSCRIBE", "UNSUBSCRIBE", "unsubscribe"},
        {"PSUBSCRIBE", "PUNSUBSCRIBE", "punsubscribe"},
        {"SSUBSCRIBE", "SUNSUBSCRIBE", "sunsubscribe"},
    };
    redisContext *c = live();

    CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
    freeReplyObject(redisCommand(c, "HELLO 3"));
    redisSetPushCallback(c, count_push);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *start = test_printf(">[\"%s\" \"all:", kinds[i][2]);

        for (int k = 0; k < 3; k++)
            CHECK(strstr(command_text(c, "%s all:%d", kinds[i][0], k), "subscribe") != NULL);
        for (int k = 0; k < 3; k++) {
            const char *text = k == 0 ? command_text(c, kinds[i][1]) : next_reply(c);

            CHECK(strstr(text, start) == text);
            CHECK(strstr(text, test_printf(":%d]", 2 - k)) != NULL);
        }
        CHECK_STR(command_text(c, "PING"), "+PONG");
        /* With nothing to end there is one confirmation. */
        CHECK_STR(command_text(c, kinds[i][1]), test_printf(">[\"%s\" nil :0]", kinds[i][2]));
        CHECK_STR(command_text(c, "PING"), "+PONG");
    }
    CHECK_INT(news, 0);
    redisFree(c);
}

TEST(sync, a_refused_subscription_owes_no_confirmation, "221") {
    static const char *const refused[][2] = {
        {"SSUBSCRIBE b", "-MOVED 3999 127.0.0.1:6381"},
        {"SUBSCRIBE a b c", "-NOPERM no"},
        {"UNSUBSCRIBE", "-NOPERM no"},
        {"UNSUBSCRIBE a", "-NOPERM no"},
    };

    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int peer;
        redisContext *c = pair_context(&peer);

        news = 0;
        CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
        redisSetPushCallback(c, count_push);
        hand_send_str(peer, test_printf("%s\r\n", refused[i][1]));
        CHECK_STR(command_text(c, refused[i][0]), refused[i][1]);
        /* The server ends a subscription itself, as it does when a slot moves away. */
        hand_send_str(peer, ">3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n+PONG\r\n");
        CHECK_STR(command_text(c, "PING"), "+PONG");
        CHECK_INT(news, 1);
        redisFree(c);
        close(peer);
    }
}

/* The error of an earlier command is not the subscription's. */
TEST(sync, an_error_of_an_earlier_command_does_not_end_a_subscriptions_claim, "221") {
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
    redisSetPushCallback(c, count_push);
    hand_send_str(peer, "-WRONGTYPE x\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+PONG\r\n");
    CHECK_INT(redisAppendCommand(c, "LPOP string"), REDIS_OK);
    CHECK_STR(command_text(c, "SUBSCRIBE a"), "-WRONGTYPE x");
    CHECK_STR(next_reply(c), ">[\"subscribe\" \"a\" :1]");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(news, 0);
    redisFree(c);
    close(peer);
}

/* Nor is one that was sent, and whose reply is not read yet. */
TEST(sync, an_error_of_a_pipeline_read_by_half_does_not_end_a_subscriptions_claim, "221") {
    int peer;
    redisContext *c = pair_context(&peer);

    news = 0;
    CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
    redisSetPushCallback(c, count_push);
    hand_send_str(peer, "-WRONGTYPE 1\r\n-WRONGTYPE 2\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    CHECK_INT(redisAppendCommand(c, "LPUSH string 1"), REDIS_OK);
    CHECK_INT(redisAppendCommand(c, "LPUSH string 2"), REDIS_OK);
    CHECK_STR(next_reply(c), "-WRONGTYPE 1");
    CHECK_STR(command_text(c, "SUBSCRIBE a"), "-WRONGTYPE 2");
    CHECK_STR(next_reply(c), ">[\"subscribe\" \"a\" :1]");
    CHECK_INT(news, 0);
    redisFree(c);
    close(peer);
}

TEST(sync, an_unsubscribe_without_names_is_over_with_the_next_other_reply, "221") {
    int peer;
    redisContext *c = pair_context(&peer);

    CHECK_INT(redisSetTimeout(c, seconds(10)), REDIS_OK);
    redisSetPushCallback(c, count_push);
    hand_send_str(peer, ">3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    CHECK_STR(command_text(c, "UNSUBSCRIBE"), ">[\"unsubscribe\" nil :0]");
    hand_send_str(peer, "+PONG\r\n");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    /* The server ends a subscription itself, as it does when a slot moves away. */
    hand_send_str(peer, ">3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n+PONG\r\n");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_INT(news, 1);
    redisFree(c);
    close(peer);
}

#endif
