/* Subscriptions: who gets which message, and how subscribed mode is entered and left. */
#include "async.h"

#include <stdio.h>

#include <hiredis/sds.h>

static void resp2_3(void (*test)(int protocol)) {
    test(2);
    if (HIREDIS_MAJOR >= 1) test(3);
}

static int subscribed(const conn *c) {
    return (c->ac->c.flags & REDIS_SUBSCRIBED) != 0;
}

/* Sends a message of strings, the last argument NULL; a string that begins with : is an integer. */
static void message(conn *c, int protocol, const char *first, ...) {
    char buf[2048];
    size_t len = 0, count = 0;
    va_list ap;
    va_start(ap, first);
    for (const char *s = first; s != NULL; s = va_arg(ap, const char *)) {
        if (s[0] == ':') len += (size_t)sprintf(buf + len, "%s\r\n", s);
        else len += (size_t)sprintf(buf + len, "$%zu\r\n%s\r\n", strlen(s), s);
        count++;
    }
    va_end(ap);
    serve(c, test_printf("%c%zu\r\n%.*s", protocol == 3 ? '>' : '*', count, (int)len, buf));
}

/* ---- The life of a subscription, live ---- */

static void life(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "ch", "SUBSCRIBE life");
    CHECK(subscribed(&c));
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"subscribe\" \"life\" :1]"));
    CHECK_INT(sync_int(pub, "PUBLISH life one"), 1);
    CHECK_INT(sync_int(pub, "PUBLISH life two"), 1);
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"message\" \"life\" \"one\"] ch:^[\"message\" \"life\" \"two\"]"));
    ask(&c, "never", "UNSUBSCRIBE life");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"unsubscribe\" \"life\" :0]"));
    CHECK(!subscribed(&c));
    CHECK_INT(sync_int(pub, "PUBLISH life three"), 0);
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG");
    redisAsyncDisconnect(c.ac);
    CHECK_LOG("disconnect=0");
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, subscribe_message_unsubscribe_and_then_a_regular_command, "171 173") {
    resp2_3(life);
}

static void patterns(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "pat", "PSUBSCRIBE news.*");
    ask(&c, "ch", "SUBSCRIBE news.art");
    PUMP_LOG(&c, shaped(protocol, "pat:^[\"psubscribe\" \"news.*\" :1] ch:^[\"subscribe\" \"news.art\" :2]"));
    CHECK_INT(sync_int(pub, "PUBLISH news.art m"), 2);
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"message\" \"news.art\" \"m\"] "
                                  "pat:^[\"pmessage\" \"news.*\" \"news.art\" \"m\"]"));
    ask(&c, NULL, "UNSUBSCRIBE");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"unsubscribe\" \"news.art\" :1]"));
    CHECK(subscribed(&c));
    CHECK_INT(sync_int(pub, "PUBLISH news.art n"), 1);
    PUMP_LOG(&c, shaped(protocol, "pat:^[\"pmessage\" \"news.*\" \"news.art\" \"n\"]"));
    ask(&c, NULL, "PUNSUBSCRIBE news.*");
    PUMP_LOG(&c, shaped(protocol, "pat:^[\"punsubscribe\" \"news.*\" :0]"));
    CHECK(!subscribed(&c));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG");
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, pattern_messages_go_to_the_pattern_callback, "177") {
    resp2_3(patterns);
}

static void same_name(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "ch", "SUBSCRIBE same");
    ask(&c, "pat", "PSUBSCRIBE same");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"subscribe\" \"same\" :1] pat:^[\"psubscribe\" \"same\" :2]"));
    sync_int(pub, "PUBLISH same m");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"message\" \"same\" \"m\"] "
                                  "pat:^[\"pmessage\" \"same\" \"same\" \"m\"]"));
    ask(&c, NULL, "PUNSUBSCRIBE same");
    PUMP_LOG(&c, shaped(protocol, "pat:^[\"punsubscribe\" \"same\" :1]"));
    sync_int(pub, "PUBLISH same n");
    PUMP_LOG(&c, shaped(protocol, "ch:^[\"message\" \"same\" \"n\"]"));
    conn_done(&c);
    CHECK_LOG("ch:NULL disconnect=0");
    sync_done(pub);
}

TEST(pubsub, a_channel_and_a_pattern_of_one_name_are_two_subscriptions, "177") {
    resp2_3(same_name);
}

TEST(pubsub, ping_while_subscribed_is_answered_to_its_callback, "172") {
    conn c;
    conn_live(&c, 2);
    ask(&c, "ch", "SUBSCRIBE pings");
    ask(&c, "one", "PING");
    ask(&c, "two", "PING text");
    PUMP_LOG(&c, "ch:*[\"subscribe\" \"pings\" :1] one:*[\"pong\" \"\"] two:*[\"pong\" \"text\"]");
    ask(&c, NULL, "UNSUBSCRIBE pings");
    ask(&c, "three", "PING");
    PUMP_LOG(&c, "ch:*[\"unsubscribe\" \"pings\" :0] three:+PONG");
    conn_done(&c);
}

TEST_1X(pubsub, regular_commands_between_resp3_messages_get_their_own_replies, "173") {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, 3);
    sync_int(pub, "DEL between");
    sync_int(pub, "RPUSH between message between three");
    ask(&c, "before", "LRANGE between 0 -1");
    ask(&c, "ch", "SUBSCRIBE between");
    ask(&c, "range", "LRANGE between 0 -1");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "before:*[\"message\" \"between\" \"three\"] ch:>[\"subscribe\" \"between\" :1] "
                 "range:*[\"message\" \"between\" \"three\"] ping:+PONG");
    sync_int(pub, "PUBLISH between m");
    ask(&c, "range", "LRANGE between 0 -1");
    PUMP_LOG(&c, "ch:>[\"message\" \"between\" \"m\"] range:*[\"message\" \"between\" \"three\"]");
    ask(&c, "self", "PUBLISH between mine");
    PUMP_LOG(&c, "ch:>[\"message\" \"between\" \"mine\"] self::1");
    ask(&c, NULL, "UNSUBSCRIBE between");
    ask(&c, "range", "LRANGE between 0 -1");
    PUMP_LOG(&c, "ch:>[\"unsubscribe\" \"between\" :0] range:*[\"message\" \"between\" \"three\"]");
    CHECK(!subscribed(&c));
    conn_done(&c);
    sync_done(pub);
}

static void list_like_message(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    sync_int(pub, "DEL looks");
    sync_int(pub, "RPUSH looks message looks three");
    /* All sent at once: the array arrives when subscribed mode has just been left. */
    ask(&c, "one", "LRANGE looks 0 -1");
    ask(&c, "ch", "SUBSCRIBE looks");
    ask(&c, NULL, "UNSUBSCRIBE looks");
    ask(&c, "two", "LRANGE looks 0 -1");
    ask(&c, "end", "PING");
    PUMP_LOG(&c, shaped(protocol, "one:*[\"message\" \"looks\" \"three\"] ch:^[\"subscribe\" \"looks\" :1] "
                                  "ch:^[\"unsubscribe\" \"looks\" :0] "
                                  "two:*[\"message\" \"looks\" \"three\"] end:+PONG"));
    CHECK(!subscribed(&c));
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, an_array_that_looks_like_a_message_goes_to_the_command_that_asked, "173") {
    resp2_3(list_like_message);
}

static void names_unknown_and_repeated(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "a", "SUBSCRIBE A");
    ask(&c, "b", "SUBSCRIBE B");
    ask(&c, "never", "UNSUBSCRIBE B X A A Z");
    ask(&c, "never", "PUNSUBSCRIBE");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, shaped(protocol, "a:^[\"subscribe\" \"A\" :1] b:^[\"subscribe\" \"B\" :2] "
                                  "b:^[\"unsubscribe\" \"B\" :1] a:^[\"unsubscribe\" \"A\" :0] ping:+PONG"));
    CHECK(!subscribed(&c));
    ask(&c, "echo", "ECHO on");
    PUMP_LOG(&c, "echo:\"on\"");
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, unsubscribing_unknown_and_repeated_names_and_no_patterns, "174") {
    resp2_3(names_unknown_and_repeated);
}

static void unsubscribe_all(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "s", "SUBSCRIBE all1");
    ask(&c, "s", "SUBSCRIBE all2 all3");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"all1\" :1] s:^[\"subscribe\" \"all2\" :2] "
                                  "s:^[\"subscribe\" \"all3\" :3]"));
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:+PONG") != NULL);
    /* The server chooses the order. */
    const char *log = log_take();
    CHECK(strstr(log, "\"unsubscribe\" \"all1\"") != NULL);
    CHECK(strstr(log, "\"unsubscribe\" \"all2\"") != NULL);
    CHECK(strstr(log, "\"unsubscribe\" \"all3\"") != NULL);
    CHECK(!subscribed(&c));
    /* And again, when the answer is nil. */
    ask(&c, "s", "SUBSCRIBE all1");
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, NULL, "UNSUBSCRIBE all1");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"all1\" :1] s:^[\"unsubscribe\" \"all1\" :0] "
                                  "ping:+PONG"));
    CHECK(!subscribed(&c));
    conn_done(&c);
}

TEST(pubsub, unsubscribe_without_names_leaves_all_channels, "174") {
    resp2_3(unsubscribe_all);
}

static void repeated_in_one(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "s", "SUBSCRIBE twice twice");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"twice\" :1] s:^[\"subscribe\" \"twice\" :1]"));
    sync_int(pub, "PUBLISH twice m");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"message\" \"twice\" \"m\"]"));
    ask(&c, NULL, "UNSUBSCRIBE twice");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"unsubscribe\" \"twice\" :0] ping:+PONG"));
    CHECK(!subscribed(&c));
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, a_channel_named_twice_is_one_subscription, "180") {
    resp2_3(repeated_in_one);
}

static void counted_per_channel(int protocol) {
    conn c;
    conn_live(&c, protocol);
    ask(&c, "one", "SUBSCRIBE a");
    ask(&c, "two", "SUBSCRIBE a b");
    ask(&c, NULL, "UNSUBSCRIBE a b");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, shaped(protocol, "two:^[\"subscribe\" \"a\" :1] two:^[\"subscribe\" \"a\" :1] "
                                  "two:^[\"subscribe\" \"b\" :2] two:^[\"unsubscribe\" \"a\" :1] "
                                  "two:^[\"unsubscribe\" \"b\" :0] ping:+PONG"));
    CHECK(!subscribed(&c));
    conn_done(&c);
}

TEST(pubsub, overlapping_subscriptions_leave_subscribed_mode_in_the_end, "180 217") {
    resp2_3(counted_per_channel);
}

static void again_before_confirmed(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "old", "SUBSCRIBE back");
    PUMP_LOG(&c, shaped(protocol, "old:^[\"subscribe\" \"back\" :1]"));
    ask(&c, NULL, "UNSUBSCRIBE back");
    ask(&c, "new", "SUBSCRIBE back");
    PUMP_LOG(&c, shaped(protocol, "new:^[\"unsubscribe\" \"back\" :0] new:^[\"subscribe\" \"back\" :1]"));
    CHECK(subscribed(&c));
    sync_int(pub, "PUBLISH back m");
    PUMP_LOG(&c, shaped(protocol, "new:^[\"message\" \"back\" \"m\"]"));
    ask(&c, NULL, "UNSUBSCRIBE back");
    PUMP_LOG(&c, shaped(protocol, "new:^[\"unsubscribe\" \"back\" :0]"));
    CHECK(!subscribed(&c));
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, subscribing_again_before_the_unsubscribe_is_confirmed_keeps_the_subscription, "179") {
    resp2_3(again_before_confirmed);
}

static void many_channels(int protocol) {
    enum { MANY = 1000 };
    redisContext *pub = live_sync();
    const char *names[MANY + 1];
    conn c;
    conn_live(&c, protocol);
    names[0] = "SUBSCRIBE";
    for (int i = 0; i < MANY; i++) names[i + 1] = test_printf("many.%d", i);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("s"), MANY + 1, names, NULL), REDIS_OK);
    const char *last = shaped(protocol, "s:^[\"subscribe\" \"many.999\" :1000]");
    size_t seen = 0;
    for (double end = test_now() + 20; test_now() < end && seen == 0;) {
        conn_step(&c, 50);
        seen = strstr(log_take(), last) != NULL;
    }
    CHECK_UINT(seen, 1);
    sync_int(pub, "PUBLISH many.500 m");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"message\" \"many.500\" \"m\"]"));
    names[0] = "UNSUBSCRIBE";
    CHECK_INT(redisAsyncCommandArgv(c.ac, NULL, NULL, MANY + 1, names, NULL), REDIS_OK);
    for (double end = test_now() + 20; test_now() < end && subscribed(&c);) {
        conn_step(&c, 50);
        log_take();
    }
    CHECK(!subscribed(&c));
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "ping:+PONG");
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, a_thousand_channels, "174") {
    resp2_3(many_channels);
}

static void binary_names(int protocol) {
    static const char *argv[] = {"SUBSCRIBE", "bin\0one", "", "bin\0two"};
    static const size_t len[] = {9, 7, 0, 7};
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("s1"), 2, argv, len), REDIS_OK);
    const char *empty[] = {"SUBSCRIBE", ""};
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("s2"), 2, empty, NULL), REDIS_OK);
    const char *two[] = {"SUBSCRIBE", argv[3]};
    const size_t two_len[] = {9, 7};
    CHECK_INT(redisAsyncCommandArgv(c.ac, async_reply, NAME("s3"), 2, two, two_len), REDIS_OK);
    PUMP_LOG(&c, shaped(protocol, "s1:^[\"subscribe\" \"bin\\x00one\" :1] s2:^[\"subscribe\" \"\" :2] "
                                  "s3:^[\"subscribe\" \"bin\\x00two\" :3]"));
    sync_int(pub, "PUBLISH %b m", argv[3], (size_t)7);
    sync_int(pub, "PUBLISH %b m", "", (size_t)0);
    PUMP_LOG(&c, shaped(protocol, "s3:^[\"message\" \"bin\\x00two\" \"m\"] s2:^[\"message\" \"\" \"m\"]"));
    conn_done(&c);
    sync_done(pub);
}

TEST(pubsub, channel_names_are_binary_and_may_be_empty, "171") {
    resp2_3(binary_names);
}

TEST(pubsub, command_names_are_recognised_in_any_case, "171") {
    conn c;
    conn_live(&c, 2);
    ask(&c, "s", "SuBsCrIbE case");
    ask(&c, "p", "psubscribe case*");
    ask(&c, NULL, "unsubscribe");
    ask(&c, NULL, "pUnSubscribe case*");
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "s:*[\"subscribe\" \"case\" :1] p:*[\"psubscribe\" \"case*\" :2] "
                 "s:*[\"unsubscribe\" \"case\" :1] p:*[\"punsubscribe\" \"case*\" :0] ping:+PONG");
    conn_done(&c);
}

TEST(pubsub, the_formatted_form_subscribes_too, "171") {
    static const char sub[] = "*3\r\n$9\r\nSUBSCRIBE\r\n$2\r\nf1\r\n$2\r\nf2\r\n";
    static const char uns[] = "*3\r\n$11\r\nUNSUBSCRIBE\r\n$2\r\nf1\r\n$2\r\nf2\r\n";
    conn c;
    conn_live(&c, 2);
    CHECK_INT(ask_formatted(&c, "s", sub, sizeof(sub) - 1), REDIS_OK);
    CHECK_INT(ask_formatted(&c, "never", uns, sizeof(uns) - 1), REDIS_OK);
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "s:*[\"subscribe\" \"f1\" :1] s:*[\"subscribe\" \"f2\" :2] "
                 "s:*[\"unsubscribe\" \"f1\" :1] s:*[\"unsubscribe\" \"f2\" :0] ping:+PONG");
    conn_done(&c);
}

TEST(pubsub, subscribe_without_a_channel_is_a_regular_command, "171") {
    conn c;
    conn_live(&c, 2);
    ask(&c, "s", "SUBSCRIBE");
    CHECK(!subscribed(&c));
    ask(&c, "p", "PSUBSCRIBE");
    ask(&c, "h", "SSUBSCRIBE");
    CHECK(!subscribed(&c));
    CHECK_INT(list_length(&c.ac->replies), 3);
    ask(&c, "ping", "PING");
    PUMP_LOG(&c, "s:-ERR wrong number of arguments for 'subscribe' command "
                 "p:-ERR wrong number of arguments for 'psubscribe' command "
                 "h:-ERR wrong number of arguments for 'ssubscribe' command ping:+PONG");
    conn_done(&c);
}

TEST(pubsub, unsubscribe_when_not_subscribed_is_refused_and_nothing_is_sent, "178") {
    conn c;
    conn_up(&c);
    CHECK_INT(ask_try(&c, "u", "UNSUBSCRIBE a"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "u", "UNSUBSCRIBE"), REDIS_ERR);
    CHECK_INT(ask_try(&c, "u", "PUNSUBSCRIBE a"), REDIS_ERR);
    CHECK_INT(c.ac->err, 0);
    CHECK_UINT(sdslen(c.ac->c.obuf), 0);
    CHECK_INT(list_length(&c.ac->replies), 0);
    ask(&c, "a", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("a:+PONG");
    conn_done(&c);
}

TEST(pubsub, commands_from_before_a_subscription_are_answered_first, "171") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "GET a");
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    serve(&c, "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n");
    CHECK_LOG("a:*[\"message\" \"ch\" \"m\"]");
    message(&c, 2, "subscribe", "ch", ":1", NULL);
    CHECK_LOG("s:*[\"subscribe\" \"ch\" :1]");
    conn_done(&c);
}

static void replaced(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, "old", "SUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    ask(&c, "new", "SUBSCRIBE ch");
    message(&c, protocol, "message", "ch", "m", NULL);
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    CHECK_LOG(shaped(protocol, "old:^[\"subscribe\" \"ch\" :1] new:^[\"message\" \"ch\" \"m\"] "
                               "new:^[\"subscribe\" \"ch\" :1]"));
    hang_up(&c);
    CHECK_LOG("new:NULL disconnect=-1");
    conn_done(&c);
}

TEST(pubsub, repeating_a_channel_replaces_its_callback_at_once, "179") {
    resp2_3(replaced);
}

static void null_callback(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, NULL, "SUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    message(&c, protocol, "message", "ch", "m", NULL);
    CHECK_LOG("");
    ask(&c, NULL, "UNSUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "unsubscribe", "ch", ":0", NULL);
    CHECK(!subscribed(&c));
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, "+PONG\r\n");
    CHECK_LOG("ping:+PONG");
    conn_done(&c);
}

TEST(pubsub, a_subscription_without_callback_drops_its_messages, "169") {
    resp2_3(null_callback);
}

static void unknown_channel(int protocol) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    message(&c, protocol, "message", "other", "m", NULL);
    message(&c, protocol, "pmessage", "o*", "other", "m", NULL);
    message(&c, protocol, "message", "ch", "m", NULL);
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"ch\" :1] s:^[\"message\" \"ch\" \"m\"]"));
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

TEST(pubsub, a_message_for_an_unknown_channel_is_dropped, "184") {
    resp2_3(unknown_channel);
}

TEST_1X(pubsub, leaving_subscribed_mode_moves_waiting_commands_to_the_regular_list, "171") {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    message(&c, 2, "subscribe", "ch", ":1", NULL);
    ask(&c, NULL, "UNSUBSCRIBE ch");
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    CHECK_INT(list_length(&c.ac->replies), 0);
    CHECK_INT(list_length(sub_replies(c.ac)), 2);
    log_take();
    message(&c, 2, "unsubscribe", "ch", ":0", NULL);
    CHECK(!subscribed(&c));
    CHECK_INT(list_length(&c.ac->replies), 2);
    CHECK_INT(list_length(sub_replies(c.ac)), 0);
    serve(&c, "$1\r\nA\r\n$1\r\nB\r\n");
    CHECK_LOG("s:*[\"unsubscribe\" \"ch\" :0] a:\"A\" b:\"B\"");
    conn_done(&c);
}

/* ---- Callbacks that do things ---- */

static void act(conn *c, const char *name, redisReply *reply) {
    (void)name;
    if (reply == NULL || reply->elements < 3 || reply->element[0]->str == NULL) return;
    if (strcmp(reply->element[0]->str, "message") != 0) return;
    c->count++;
    if (strcmp(c->trigger, "free") == 0) redisAsyncFree(c->ac);
    if (strcmp(c->trigger, "disconnect") == 0) redisAsyncDisconnect(c->ac);
    if (strcmp(c->trigger, "unsubscribe") == 0) ask(c, NULL, "UNSUBSCRIBE act");
    if (strcmp(c->trigger, "subscribe") == 0) ask(c, "more", "SUBSCRIBE more");
    if (strcmp(c->trigger, "ping") == 0) ask(c, "ping", "PING");
}

static void acting(int protocol) {
    static const struct {
        const char *what, *log;
    } action[] = {
        {"free", "s:NULL disconnect=0"},
        {"disconnect", "s:NULL disconnect=0"},
        {"unsubscribe", "s:^[\"unsubscribe\" \"act\" :0]"},
        {"subscribe", "more:^[\"subscribe\" \"more\" :2]"},
        {"ping", NULL},
    };
    redisContext *pub = live_sync();
    for (size_t i = 0; i < sizeof(action) / sizeof(action[0]); i++) {
        conn c;
        conn_live(&c, protocol);
        c.on_reply = act;
        c.trigger = action[i].what;
        ask(&c, "s", "SUBSCRIBE act");
        PUMP_LOG(&c, shaped(protocol, "s:^[\"subscribe\" \"act\" :1]"));
        sync_int(pub, "PUBLISH act m");
        PUMP(&c, c.count == 1);
        const char *log = action[i].log;
        if (log == NULL) log = protocol == 3 ? "ping:+PONG" : "ping:*[\"pong\" \"\"]";
        log = shaped(protocol, test_printf("s:^[\"message\" \"act\" \"m\"] %s", log));
        PUMP(&c, strlen(log_text()) >= strlen(log));
        CHECK_LOG(log);
        conn_done(&c);
        log_take();
    }
    sync_done(pub);
}

TEST_1X(pubsub, a_message_callback_may_free_disconnect_subscribe_and_unsubscribe, "157") {
    resp2_3(acting);
}

#if HIREDIS_MAJOR >= 1
static void timeout_subscribed(int protocol) {
    conn c;
    conn_up_with(&c, 0, 20);
    ask(&c, "ch", "SUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    log_take();
    ask(&c, "a", "PING");
    ask(&c, "b", "PING");
    flush(&c);
    expire(&c);
    CHECK_LOG("a:NULL b:NULL ch:NULL disconnect=-1");
    conn_done(&c);
}

TEST(pubsub, a_command_timeout_while_subscribed_fails_commands_and_subscriptions, "175") {
    resp2_3(timeout_subscribed);
}

/* ---- Pushes that are not messages ---- */

TEST(pubsub, invalidations_go_to_the_push_callback_and_replies_stay_paired, "181") {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, 3);
    sync_text(other, "SET inval v");
    ask(&c, "track", "CLIENT TRACKING ON");
    ask(&c, "get", "GET inval");
    PUMP_LOG(&c, "track:+OK get:\"v\"");
    sync_text(other, "SET inval w");
    ask(&c, "a", "ECHO a");
    ask(&c, "b", "ECHO b");
    PUMP_LOG(&c, "push:>[\"invalidate\" *[\"inval\"]] a:\"a\" b:\"b\"");
    ask(&c, "ch", "SUBSCRIBE inval");
    ask(&c, "get", "GET inval");
    PUMP_LOG(&c, "ch:>[\"subscribe\" \"inval\" :1] get:\"w\"");
    sync_text(other, "SET inval x");
    ask(&c, "c", "ECHO c");
    PUMP_LOG(&c, "push:>[\"invalidate\" *[\"inval\"]] c:\"c\"");
    sync_text(other, "FLUSHDB");
    PUMP_LOG(&c, "push:>[\"invalidate\" nil]");
    conn_done(&c);
    sync_done(other);
}

TEST(pubsub, a_push_between_replies_disturbs_nobody, "181") {
    conn c;
    conn_up(&c);
    ask(&c, "a", "GET a");
    ask(&c, "b", "GET b");
    flush(&c);
    serve(&c, ">2\r\n+x\r\n:1\r\n$1\r\nA\r\n>0\r\n>1\r\n:7\r\n$1\r\nB\r\n"
              ">3\r\n$10\r\ninvalidate\r\n_\r\n_\r\n");
    CHECK_LOG("push:>[+x :1] a:\"A\" push:>[] push:>[:7] b:\"B\" push:>[\"invalidate\" nil nil]");
    CHECK(c.ac->c.flags & REDIS_SUPPORTS_PUSH);
    CHECK_INT(c.ac->err, 0);
    conn_done(&c);
}

/* ---- Malformed ---- */

/* Whatever arrives, nobody crashes, the subscription hears of its end once, and a connection
 * that stays is still in step. */
static void malformed(int protocol, const char *bytes) {
    conn c;
    conn_up(&c);
    ask(&c, "s", "SUBSCRIBE ch");
    flush(&c);
    message(&c, protocol, "subscribe", "ch", ":1", NULL);
    CHECK_LOG(shaped(protocol, "s:^[\"subscribe\" \"ch\" :1]"));
    serve(&c, bytes);
    if (c.ac == NULL) {
        CHECK_LOG("s:NULL disconnect=-1");
    } else {
        log_take();
        CHECK_INT(c.ac->err, 0);
        ask(&c, "ping", "PING");
        flush(&c);
        serve(&c, protocol == 3 ? "+PONG\r\n" : "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        CHECK_LOG(protocol == 3 ? "ping:+PONG" : "ping:*[\"pong\" \"\"]");
        message(&c, protocol, "message", "ch", "m", NULL);
        CHECK_LOG(shaped(protocol, "s:^[\"message\" \"ch\" \"m\"]"));
    }
    conn_done(&c);
}

TEST(pubsub, malformed_messages_never_abort, "185") {
    static const char *const frame[] = {
        "0\r\n",
        "1\r\n$7\r\nmessage\r\n",
        "1\r\n$9\r\nsubscribe\r\n",
        "1\r\n_\r\n",
        "1\r\n*0\r\n",
        "2\r\n$7\r\nmessage\r\n$2\r\nch\r\n",
        "2\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n",
        "2\r\n$9\r\nsubscribe\r\n_\r\n",
        "3\r\n:1\r\n:2\r\n:3\r\n",
        "3\r\n$-1\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n*1\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nm\r\n",
        "3\r\n$7\r\nmessage\r\n:1\r\n$1\r\nm\r\n",
        "3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nm\r\n",
        "3\r\n$7\r\nmessage\r\n*0\r\n$1\r\nm\r\n",
        "3\r\n$9\r\nsubscribe\r\n$3\r\nbar\r\n:1\r\n",
        "3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",
        "3\r\n$9\r\nsubscribe\r\n:1\r\n:1\r\n",
        "3\r\n$10\r\npsubscribe\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n$11\r\nunsubscribe\r\n$3\r\nbar\r\n:1\r\n",
        "3\r\n$11\r\nunsubscribe\r\n$3\r\nbar\r\n$1\r\n1\r\n",
        "3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n",
        "3\r\n$11\r\nunsubscribe\r\n:5\r\n:1\r\n",
        "3\r\n$12\r\npunsubscribe\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n$12\r\npunsubscribe\r\n$2\r\nch\r\n_\r\n",
        "3\r\n$10\r\nssubscribe\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$1\r\nm\r\n",
        "3\r\n$12\r\nsunsubscribe\r\n$2\r\nch\r\n:0\r\n",
        "3\r\n$1\r\np\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n$0\r\n\r\n$2\r\nch\r\n:1\r\n",
        "3\r\n$15\r\nppunsubscribe..\r\n$2\r\nch\r\n:1\r\n",
        "4\r\n$8\r\npmessage\r\n$2\r\nch\r\n$2\r\nch\r\n$1\r\nm\r\n",
        "4\r\n$8\r\npmessage\r\n$-1\r\n$-1\r\n$-1\r\n",
        "5\r\n$9\r\nsubscribe\r\n$3\r\nbar\r\n:1\r\n:1\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof(frame) / sizeof(frame[0]); i++)
        for (int protocol = 2; protocol <= 3; protocol++)
            malformed(protocol, test_printf("%c%s", protocol == 3 ? '>' : '*', frame[i]));
}
#endif

/* A frame cut off at every byte, then the end of the stream: one NULL and nothing else. */
static void cut_off(int protocol) {
    static const char tail[] = "3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$4\r\ntext\r\n";
    for (size_t cut = 0; cut <= sizeof(tail) - 1; cut++) {
        const char *bytes = test_printf("%c%s", protocol == 3 ? '>' : '*', tail);
        conn c;
        conn_up(&c);
        ask(&c, "s", "SUBSCRIBE ch");
        flush(&c);
        message(&c, protocol, "subscribe", "ch", ":1", NULL);
        log_take();
        serve_n(&c, bytes, cut + 1);
        hang_up(&c);
        CHECK_LOG(cut < sizeof(tail) - 1
                      ? "s:NULL disconnect=-1"
                      : shaped(protocol, "s:^[\"message\" \"ch\" \"text\"] s:NULL disconnect=-1"));
        conn_done(&c);
    }
}

TEST(pubsub, a_message_cut_off_anywhere_is_not_delivered, "185") {
    resp2_3(cut_off);
}

/* ---- Inside a transaction ---- */

static void in_transaction(int protocol) {
    redisContext *pub = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE tx");
    ask(&c, "exec", "EXEC");
    ask(&c, "ping", "PING");
    PUMP(&c, strstr(log_text(), "ping:") != NULL);
    const char *log = log_take();
    if (strstr(log, "multi:+OK") != log ||
        strstr(log, shaped(protocol, " exec:*[^[\"subscribe\" \"tx\" :1]]")) == NULL ||
        strstr(log, protocol == 3 ? " ping:+PONG" : " ping:*[\"pong\" \"\"]") == NULL)
        FAIL("got: %s", log);
    sync_int(pub, "PUBLISH tx m");
    PUMP_LOG(&c, shaped(protocol, "s:^[\"message\" \"tx\" \"m\"]"));
    conn_done(&c);
    sync_done(pub);
}

TEST_1X(pubsub, a_subscription_inside_a_transaction_keeps_replies_paired, "") {
    resp2_3(in_transaction);
}

#if HIREDIS_MAJOR >= 1
/* `end` is what the server answers to EXEC or DISCARD, `ended` how the log shows it. */
static void not_executed(int protocol, const char *last, const char *end, const char *ended) {
    conn c;
    conn_up(&c);
    ask(&c, "old", "SUBSCRIBE old");
    flush(&c);
    message(&c, protocol, "subscribe", "old", ":1", NULL);
    CHECK_LOG(shaped(protocol, "old:^[\"subscribe\" \"old\" :1]"));
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE new");
    ask(&c, "p", "PSUBSCRIBE p*");
    ask(&c, "end", last);
    ask(&c, "ping", "PING");
    flush(&c);
    serve(&c, test_printf("+OK\r\n+QUEUED\r\n+QUEUED\r\n%s\r\n+PONG\r\n", end));
    CHECK_LOG_EITHER(test_printf("multi:+OK s:+QUEUED p:+QUEUED s:NULL p:NULL end:%s ping:+PONG", ended),
                     test_printf("multi:+OK s:+QUEUED p:+QUEUED end:%s s:NULL p:NULL ping:+PONG", ended));
    CHECK(subscribed(&c));
    /* Nobody listens to these. */
    message(&c, protocol, "message", "new", "m", NULL);
    message(&c, protocol, "message", "old", "m", NULL);
    CHECK_LOG(shaped(protocol, "old:^[\"message\" \"old\" \"m\"]"));
    ask(&c, NULL, "UNSUBSCRIBE old");
    flush(&c);
    message(&c, protocol, "unsubscribe", "old", ":0", NULL);
    CHECK_LOG(shaped(protocol, "old:^[\"unsubscribe\" \"old\" :0]"));
    CHECK(!subscribed(&c));

    /* Without any other subscription. */
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE new");
    ask(&c, "end", last);
    flush(&c);
    serve(&c, test_printf("+OK\r\n+QUEUED\r\n%s\r\n", end));
    CHECK_LOG_EITHER(test_printf("multi:+OK s:+QUEUED s:NULL end:%s", ended),
                     test_printf("multi:+OK s:+QUEUED end:%s s:NULL", ended));
    CHECK(!subscribed(&c));
    conn_done(&c);
    CHECK_LOG("disconnect=0");
}

static void not_executed_live(int protocol) {
    redisContext *other = live_sync();
    conn c;
    conn_live(&c, protocol);
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE discarded");
    ask(&c, "discard", "DISCARD");
    ask(&c, "echo", "ECHO x");
    PUMP(&c, strstr(log_text(), "echo:") != NULL);
    CHECK_LOG_EITHER("multi:+OK s:+QUEUED s:NULL discard:+OK echo:\"x\"",
                     "multi:+OK s:+QUEUED discard:+OK s:NULL echo:\"x\"");
    CHECK(!subscribed(&c));

    ask(&c, "watch", "WATCH watched");
    PUMP_LOG(&c, "watch:+OK");
    sync_text(other, "SET watched %d", protocol);
    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE aborted");
    ask(&c, "exec", "EXEC");
    ask(&c, "echo", "ECHO x");
    PUMP(&c, strstr(log_text(), "echo:") != NULL);
    CHECK_LOG_EITHER("multi:+OK s:+QUEUED s:NULL exec:nil echo:\"x\"",
                     "multi:+OK s:+QUEUED exec:nil s:NULL echo:\"x\"");
    CHECK(!subscribed(&c));

    ask(&c, "multi", "MULTI");
    ask(&c, "s", "SUBSCRIBE aborted");
    ask(&c, "bad", "GET");
    ask(&c, "exec", "EXEC");
    ask(&c, "echo", "ECHO x");
    PUMP(&c, strstr(log_text(), "echo:") != NULL);
    const char *log = log_take();
    CHECK(strstr(log, " s:NULL") != NULL);
    CHECK(strstr(log, " exec:-EXECABORT ") != NULL);
    CHECK(!subscribed(&c));
    CHECK_INT(sync_int(other, "PUBLISH aborted m"), 0);
    conn_done(&c);
    CHECK_LOG("disconnect=0");
    sync_done(other);
}

static void never_executed(int protocol) {
    not_executed(protocol, "DISCARD", "+OK", "+OK");
    not_executed(protocol, "EXEC", "*-1", "nil");
    not_executed(protocol, "EXEC", "_", "nil");
    not_executed(protocol, "EXEC", "-EXECABORT no", "-EXECABORT no");
    not_executed_live(protocol);
}

TEST(pubsub, a_subscription_in_a_transaction_that_is_not_executed_ends_with_null, "") {
    resp2_3(never_executed);
}

/* ---- Replies that overtake confirmations ---- */

static void overtaking(int late) {
    conn c;
    conn_up(&c);
    ask(&c, "hello", "HELLO 3");
    ask(&c, "a", "SUBSCRIBE a");
    ask(&c, "g1", "GET 1");
    ask(&c, "b", "SUBSCRIBE b");
    ask(&c, "g2", "GET 2");
    ask(&c, "c", "SUBSCRIBE c");
    if (late) ask(&c, "g3", "GET 3");
    flush(&c);
    serve(&c, "%0\r\n+1\r\n+2\r\n");
    CHECK_LOG("hello:%[] g1:+1 g2:+2");
    message(&c, 3, "subscribe", "a", ":1", NULL);
    message(&c, 3, "subscribe", "b", ":2", NULL);
    message(&c, 3, "subscribe", "c", ":3", NULL);
    CHECK_LOG("a:>[\"subscribe\" \"a\" :1] b:>[\"subscribe\" \"b\" :2] c:>[\"subscribe\" \"c\" :3]");
    if (late) {
        serve(&c, "-ERR 3\r\n");
        CHECK_LOG("g3:-ERR 3");
    }
    /* The next error is for whoever is next. */
    ask(&c, "g4", "GET 4");
    ask(&c, "d", "SUBSCRIBE d");
    ask(&c, "g5", "GET 5");
    flush(&c);
    serve(&c, "-ERR 4\r\n-NOPERM d\r\n+5\r\n");
    CHECK_LOG("g4:-ERR 4 d:-NOPERM d g5:+5");
    ask(&c, NULL, "UNSUBSCRIBE");
    ask(&c, "g6", "GET 6");
    flush(&c);
    message(&c, 3, "unsubscribe", "a", ":2", NULL);
    message(&c, 3, "unsubscribe", "b", ":1", NULL);
    message(&c, 3, "unsubscribe", "c", ":0", NULL);
    CHECK_LOG("a:>[\"unsubscribe\" \"a\" :2] b:>[\"unsubscribe\" \"b\" :1] "
              "c:>[\"unsubscribe\" \"c\" :0]");
    CHECK(!subscribed(&c));
    CHECK_INT(c.ac->sub.pending_unsubs, 0);
    redisAsyncDisconnect(c.ac);
    serve(&c, "+6\r\n");
    CHECK_LOG("g6:+6 disconnect=0");
    CHECK(c.ac == NULL);
    conn_done(&c);
}

TEST(pubsub, replies_that_overtake_confirmations_leave_the_order_right, "180 215") {
    overtaking(0);
    overtaking(1);
}
#endif
