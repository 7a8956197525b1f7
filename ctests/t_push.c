/* RESP3 on a blocking connection: pushes, their handler, the kinds of replies, subscriptions, attributes. */
#include "sync.h"

#if HIREDIS_MAJOR >= 1

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fake.h"

static redisContext *live_resp3(void) {
    redisContext *c = live();
    redisReply *r = redisCommand(c, "HELLO 3");

    CHECK(r != NULL);
    CHECK_INT(r->type, REDIS_REPLY_MAP);
    freeReplyObject(r);
    return c;
}

/* Has the server announce what others change. */
static redisContext *live_tracking(void) {
    redisContext *c = live_resp3();

    CHECK_STR(command_text(c, "CLIENT TRACKING ON"), "+OK");
    return c;
}

/* What a handler saw, in order. */
static char seen[2000];
static void *seen_privdata;

static void note_push(void *privdata, void *reply) {
    redisReply *r = reply;

    CHECK(r != NULL && r->type == REDIS_REPLY_PUSH);
    CHECK(redisIsPushReply(r));
    seen_privdata = privdata;
    strcat(strcat(seen, seen[0] != '\0' ? " " : ""), reply_text(r));
    freeReplyObject(r);
}

/* ---- Against the live server ---- */

TEST(push, hello_decides_between_map_and_array, "135") {
    redisContext *c;
    redisReply *r;

    alloc_count_begin();
    c = live();
    r = redisCommand(c, "HELLO 3");
    CHECK(r != NULL);
    CHECK_INT(r->type, REDIS_REPLY_MAP);
    CHECK(r->elements >= 2 && r->elements % 2 == 0);
    CHECK_STR(r->element[0]->str, "server");
    freeReplyObject(r);
    r = redisCommand(c, "HELLO 2");
    CHECK(r != NULL);
    CHECK_INT(r->type, REDIS_REPLY_ARRAY);
    CHECK_STR(r->element[0]->str, "server");
    freeReplyObject(r);
    redisFree(c);
    alloc_count_end();
}

TEST(push, pushes_are_consumed_by_default, "131") {
    redisContext *c;

    alloc_count_begin();
    c = live_tracking();
    for (int i = 0; i < 3; i++) {
        CHECK_STR(command_text(c, "SET push:key %d", i), "+OK");
        CHECK_STR(command_text(c, "GET push:key"), test_printf("\"%d\"", i));
    }
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

TEST(push, the_handler_gets_invalidations_of_keys_and_of_everything, "132") {
    redisContext *c, *other;
    int data;

    alloc_count_begin();
    c = live_tracking();
    other = live();
    c->privdata = &data;
    redisSetPushCallback(c, note_push);
    CHECK_STR(command_text(c, "SET push:key 1"), "+OK");
    CHECK_STR(command_text(c, "GET push:key"), "\"1\"");
    CHECK_STR(command_text(other, "SET push:key 2"), "+OK");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(seen, ">[\"invalidate\" *[\"push:key\"]]");
    CHECK(seen_privdata == &data);
    seen[0] = '\0';
    CHECK_STR(command_text(c, "GET push:key"), "\"2\"");
    CHECK_STR(command_text(other, "FLUSHDB"), "+OK");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(seen, ">[\"invalidate\" nil]");
    redisFree(other);
    redisFree(c);
    alloc_count_end();
}

TEST(push, without_a_handler_pushes_come_in_band_and_no_reply_is_lost, "133") {
    redisContext *c, *other;

    alloc_count_begin();
    c = live_tracking();
    other = live();
    CHECK(redisSetPushCallback(c, NULL) != NULL);
    CHECK_STR(command_text(c, "SET push:key 1"), "+OK");
    CHECK_STR(command_text(c, "GET push:key"), "\"1\"");
    CHECK_STR(command_text(other, "SET push:key 2"), "+OK");
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    CHECK_STR(next_reply(c), ">[\"invalidate\" *[\"push:key\"]]");
    CHECK_STR(next_reply(c), "+PONG");
    redisFree(other);
    redisFree(c);
    alloc_count_end();
}

TEST(push, a_context_made_without_a_handler_gets_pushes_in_band, "133") {
    redisOptions o = {0};
    redisContext *c;

    REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    o.options = REDIS_OPT_NO_PUSH_AUTOFREE;
    c = redisConnectWithOptions(&o);
    CHECK_NO_ERROR(c);
    freeReplyObject(redisCommand(c, "HELLO 3"));
    CHECK_STR(command_text(c, "DEBUG PROTOCOL PUSH"), ">[\"server-cpu-usage\" :42]");
    CHECK_STR(next_reply(c), "\"Some real reply following the push reply\"");
    redisFree(c);
}

TEST(push, setting_the_handler_returns_the_one_before, "134") {
    redisContext *c = live();
    redisPushFn *standard = c->push_cb;

    CHECK(standard != NULL);
    CHECK(redisSetPushCallback(c, note_push) == standard);
    CHECK(c->push_cb == note_push);
    CHECK(redisSetPushCallback(c, NULL) == note_push);
    CHECK(c->push_cb == NULL);
    CHECK(redisSetPushCallback(c, standard) == NULL);
    redisFree(c);
}

TEST(push, every_kind_of_resp3_reply_arrives, "135") {
    static const char *const kind[][2] = {
        {"STRING", "\"Hello World\""},
        {"INTEGER", ":12345"},
        {"DOUBLE", ",3.141"},
        {"NULL", "nil"},
        {"ARRAY", "*[:0 :1 :2]"},
        {"SET", "~[:0 :1 :2]"},
        {"MAP", "%[:0 #f :1 #t :2 #f]"},
        {"VERBATIM", "=txt:\"This is a verbatim\\x0astring\""},
        {"TRUE", "#t"},
        {"FALSE", "#f"},
        {"BIGNUM", "(1234567999999999999999999999999999999"},
    };
    redisContext *c;

    alloc_count_begin();
    c = live_resp3();
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        CHECK_STR(command_text(c, "DEBUG PROTOCOL %s", kind[i][0]), kind[i][1]);
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(c);
    alloc_count_end();
}

static const char *published(redisContext *other, const char *channel, const char *text) {
    return command_text(other, "PUBLISH %s %s", channel, text);
}

TEST(push, a_subscriber_in_resp2_reads_messages_as_replies, "133") {
    redisContext *c, *other;

    alloc_count_begin();
    c = live();
    other = live();
    CHECK_STR(command_text(c, "SUBSCRIBE push:a push:b"), "*[\"subscribe\" \"push:a\" :1]");
    CHECK_STR(next_reply(c), "*[\"subscribe\" \"push:b\" :2]");
    CHECK_STR(published(other, "push:b", "hello"), ":1");
    CHECK_STR(next_reply(c), "*[\"message\" \"push:b\" \"hello\"]");
    CHECK_STR(command_text(c, "UNSUBSCRIBE push:a"), "*[\"unsubscribe\" \"push:a\" :1]");
    CHECK_STR(command_text(c, "UNSUBSCRIBE"), "*[\"unsubscribe\" \"push:b\" :0]");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    redisFree(other);
    redisFree(c);
    alloc_count_end();
}

TEST(push, a_subscriber_in_resp3_without_a_handler_reads_messages_as_replies, "133") {
    redisContext *c, *other;

    alloc_count_begin();
    c = live_resp3();
    other = live();
    redisSetPushCallback(c, NULL); /* as redis-cli does */
    CHECK_STR(command_text(c, "SUBSCRIBE push:a"), ">[\"subscribe\" \"push:a\" :1]");
    CHECK_STR(published(other, "push:a", "hello"), ":1");
    CHECK_STR(next_reply(c), ">[\"message\" \"push:a\" \"hello\"]");
    CHECK_STR(command_text(c, "PING"), "+PONG");
    CHECK_STR(command_text(c, "UNSUBSCRIBE push:a"), ">[\"unsubscribe\" \"push:a\" :0]");
    redisFree(other);
    redisFree(c);
    alloc_count_end();
}

/* ---- Against bytes ---- */

#define NEWS ">2\r\n+news\r\n$2\r\nhi\r\n"
#define NEWS_TEXT ">[+news \"hi\"]"

TEST(push, a_push_may_come_before_between_and_after_replies, "131") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    redisSetPushCallback(c, note_push);
    hand_send_str(peer, NEWS NEWS "+1\r\n" NEWS ">0\r\n+2\r\n" NEWS);
    CHECK_STR(command_text(c, "A"), "+1");
    CHECK_STR(seen, NEWS_TEXT " " NEWS_TEXT);
    seen[0] = '\0';
    CHECK_STR(command_text(c, "B"), "+2");
    CHECK_STR(seen, NEWS_TEXT " >[]");
    seen[0] = '\0';
    hand_send_str(peer, "+3\r\n");
    CHECK_STR(next_reply(c), "+3");
    CHECK_STR(seen, NEWS_TEXT);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, a_push_may_be_cut_anywhere, "131") {
    static const char bytes[] = NEWS "*2\r\n:1\r\n:2\r\n" NEWS "$3\r\nend\r\n";

    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        fake *f = fake_new();
        redisContext *c;

        fake_accept(f);
        fake_send(f, bytes, cut);
        fake_wait(f);
        fake_send(f, bytes + cut, sizeof bytes - 1 - cut);
        fake_expect_eof(f);
        fake_start(f);
        c = redisConnectUnix(fake_path(f));
        CHECK_NO_ERROR(c);
        redisSetPushCallback(c, note_push);
        seen[0] = '\0';
        c->flags &= ~REDIS_BLOCK; /* first what is there before the cut */
        if (cut > 0)
            CHECK_INT(redisBufferRead(c), REDIS_OK);
        c->flags |= REDIS_BLOCK;
        fake_go(f);
        CHECK_STR(next_reply(c), "*[:1 :2]");
        CHECK_STR(next_reply(c), "\"end\"");
        CHECK_STR(seen, NEWS_TEXT " " NEWS_TEXT);
        redisFree(c);
        fake_finish(f);
    }
}

TEST(push, a_push_is_not_the_reply_nobody_wants, "131") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, NEWS "+1\r\n" NEWS "+2\r\n");
    CHECK_INT(redisGetReply(c, NULL), REDIS_OK);
    CHECK_STR(next_reply(c), "+2");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, a_non_blocking_context_hands_pushes_over_and_has_no_reply, "131") {
    int peer;
    redisContext *c;
    void *reply = &peer;

    alloc_count_begin();
    c = pair_context(&peer);
    c->flags &= ~REDIS_BLOCK;
    redisSetPushCallback(c, note_push);
    hand_send_str(peer, NEWS NEWS "+1\r\n" NEWS);
    CHECK_INT(redisBufferRead(c), REDIS_OK);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK_STR(reply_text(reply), "+1");
    freeReplyObject(reply);
    CHECK_STR(seen, NEWS_TEXT " " NEWS_TEXT);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == NULL);
    CHECK_STR(seen, NEWS_TEXT " " NEWS_TEXT " " NEWS_TEXT);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, get_reply_from_reader_does_not_look_for_pushes, "133") {
    int peer;
    redisContext *c;
    void *reply = NULL;

    alloc_count_begin();
    c = pair_context(&peer);
    redisSetPushCallback(c, note_push);
    hand_send_str(peer, NEWS);
    CHECK_INT(redisBufferRead(c), REDIS_OK);
    CHECK_INT(redisGetReplyFromReader(c, &reply), REDIS_OK);
    CHECK_STR(reply_text(reply), NEWS_TEXT);
    freeReplyObject(reply);
    CHECK_STR(seen, "");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, a_nested_push_is_an_element, "131") {
    int peer;
    redisContext *c = pair_context(&peer);

    redisSetPushCallback(c, note_push);
    hand_send_str(peer, "*2\r\n:1\r\n>1\r\n:2\r\n");
    CHECK_STR(next_reply(c), "*[:1 >[:2]]");
    CHECK_STR(seen, "");
    redisFree(c);
    close(peer);
}

static redisContext *handled;

static void retire(void *privdata, void *reply) {
    note_push(privdata, reply);
    redisSetPushCallback(handled, NULL);
}

TEST(push, a_handler_may_replace_itself, "134") {
    int peer;

    alloc_count_begin();
    handled = pair_context(&peer);
    redisSetPushCallback(handled, retire);
    hand_send_str(peer, NEWS NEWS "+1\r\n");
    CHECK_STR(next_reply(handled), NEWS_TEXT);
    CHECK_STR(next_reply(handled), "+1");
    CHECK_STR(seen, NEWS_TEXT);
    redisFree(handled);
    alloc_count_end();
    close(peer);
}

static void append_more(void *privdata, void *reply) {
    note_push(privdata, reply);
    CHECK_INT(redisAppendCommand(handled, "MORE"), REDIS_OK);
}

TEST(push, a_handler_may_append_commands, "132") {
    int peer;

    alloc_count_begin();
    handled = pair_context(&peer);
    redisSetPushCallback(handled, append_more);
    hand_send_str(peer, NEWS "+1\r\n+2\r\n");
    CHECK_STR(command_text(handled, "FIRST"), "+1");
    CHECK_STR(next_reply(handled), "+2");
    hand_expect_str(peer, "*1\r\n$5\r\nFIRST\r\n");
    /* it leaves with whatever is sent next */
    hand_send_str(peer, "+3\r\n");
    CHECK_STR(command_text(handled, "LAST"), "+3");
    hand_expect_str(peer, "*1\r\n$4\r\nMORE\r\n*1\r\n$4\r\nLAST\r\n");
    redisFree(handled);
    alloc_count_end();
    close(peer);
}

static void keep(void *privdata, void *reply) {
    *(redisReply **)privdata = reply;
}

TEST(push, the_handler_owns_the_push, "132") {
    int peer;
    redisReply *kept = NULL;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    c->privdata = &kept;
    redisSetPushCallback(c, keep);
    hand_send_str(peer, NEWS "+1\r\n");
    CHECK_STR(next_reply(c), "+1");
    redisFree(c);
    CHECK_STR(reply_text(kept), NEWS_TEXT);
    freeReplyObject(kept);
    alloc_count_end();
    close(peer);
}

/* ---- Objects that are no redisReply ---- */

TEST(push, without_object_functions_the_handler_is_not_called, "") {
    int peer;
    redisContext *c;
    void *reply = NULL;

    alloc_count_begin();
    c = pair_context(&peer); /* with the default handler, which would look into the object */
    c->reader->fn = NULL;
    hand_send_str(peer, NEWS "+1\r\n");
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK_UINT((uintptr_t)reply, REDIS_REPLY_PUSH);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK_UINT((uintptr_t)reply, REDIS_REPLY_STATUS);
    redisFree(c);
    alloc_count_end();
    close(peer);
}

static char byte_objects[8]; /* too small to be a redisReply */
static int released;

static void *byte_string(const redisReadTask *task, char *s, size_t len) {
    (void)task, (void)s, (void)len;
    return &byte_objects[0];
}

static void *byte_array(const redisReadTask *task, size_t n) {
    (void)task, (void)n;
    return &byte_objects[1];
}

static void release_byte(void *object) {
    (void)object;
    released++;
}

TEST(push, objects_of_the_program_never_reach_the_handler, "") {
    static redisReplyObjectFunctions fn;
    int peer;
    redisContext *c = pair_context(&peer);
    void *reply = NULL;

    fn.createString = byte_string;
    fn.createArray = byte_array;
    fn.freeObject = release_byte;
    c->reader->fn = &fn;
    redisSetPushCallback(c, note_push);
    hand_send_str(peer, NEWS "+1\r\n" NEWS);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == &byte_objects[1]);
    CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
    CHECK(reply == &byte_objects[0]);
    CHECK_INT(redisGetReply(c, NULL), REDIS_OK);
    CHECK_INT(released, 1);
    CHECK_STR(seen, "");
    redisFree(c);
    close(peer);
}

/* ---- Attributes ---- */

TEST(push, an_attribute_is_no_reply, "209") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "|1\r\n+ttl\r\n:3600\r\n$1\r\nA\r\n$1\r\nB\r\n");
    CHECK_STR(command_text(c, "GET a"), "\"A\"");
    CHECK_STR(command_text(c, "GET b"), "\"B\"");
    /* several, nested, before an error, before a push */
    hand_send_str(peer, "|1\r\n+a\r\n|1\r\n+b\r\n+c\r\n:1\r\n|0\r\n-ERR no\r\n");
    hand_send_str(peer, "|1\r\n+x\r\n:1\r\n>1\r\n+news\r\n+2\r\n");
    CHECK_STR(next_reply(c), "-ERR no");
    CHECK_STR(next_reply(c), "+2");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, an_attribute_is_no_element, "209") {
    int peer;
    redisContext *c;

    alloc_count_begin();
    c = pair_context(&peer);
    hand_send_str(peer, "*2\r\n|1\r\n+k\r\n+v\r\n:1\r\n:2\r\n");
    CHECK_STR(next_reply(c), "*[:1 :2]");
    hand_send_str(peer, "*2\r\n:1\r\n|1\r\n+k\r\n*1\r\n+v\r\n*1\r\n|2\r\n+a\r\n+b\r\n+c\r\n+d\r\n:2\r\n");
    CHECK_STR(next_reply(c), "*[:1 *[:2]]");
    hand_send_str(peer, "%1\r\n|1\r\n+k\r\n+v\r\n+key\r\n|1\r\n+k\r\n+v\r\n+value\r\n+next\r\n");
    CHECK_STR(next_reply(c), "%[+key +value]");
    CHECK_STR(next_reply(c), "+next");
    redisFree(c);
    alloc_count_end();
    close(peer);
}

TEST(push, an_attribute_may_be_cut_anywhere, "209") {
    static const char bytes[] = "|2\r\n+ttl\r\n:3600\r\n*1\r\n+k\r\n$3\r\nabc\r\n"
                                "*2\r\n|1\r\n+k\r\n+v\r\n:1\r\n:2\r\n";

    for (size_t cut = 1; cut < sizeof bytes - 1; cut++) {
        int peer;
        redisContext *c = pair_context(&peer);
        void *reply = NULL;

        c->flags &= ~REDIS_BLOCK;
        hand_send(peer, bytes, cut);
        CHECK_INT(redisBufferRead(c), REDIS_OK);
        CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
        CHECK(reply == NULL);
        hand_send(peer, bytes + cut, sizeof bytes - 1 - cut);
        CHECK_INT(redisBufferRead(c), REDIS_OK);
        CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
        CHECK_STR(reply_text(reply), "*[:1 :2]");
        freeReplyObject(reply);
        redisFree(c);
        close(peer);
    }
}

TEST(push, a_live_servers_attribute_is_no_reply, "209") {
    redisContext *c = live();

    freeReplyObject(redisCommand(c, "HELLO 3"));
    CHECK_STR(command_text(c, "SET push:k v"), "+OK");
    CHECK_STR(command_text(c, "DEBUG PROTOCOL ATTRIB"), "\"Some real reply following the attribute\"");
    CHECK_STR(command_text(c, "GET push:k"), "\"v\"");
    CHECK_STR(command_text(c, "ECHO two"), "\"two\"");
    redisFree(c);
}

#endif
