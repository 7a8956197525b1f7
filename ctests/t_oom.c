/* Whole lives of connections to the live server while memory runs out: the k-th request for memory
 * is refused, for each k until a life passes untouched, once alone and once with all that follow.
 * Afterwards the error is "Out of memory" or there is none, the connection serves or can be made to
 * serve again, everything can be freed, no block and no descriptor is left, and the callback of every
 * accepted command has been called with what was meant for it, once.
 *
 * t_alloc, t_async_oom, t_connect_options, t_format, t_reader_*, t_sds and t_sync_api refuse memory to
 * single functions; `make oom` runs all of it. */
#include "async.h"
#include "sync.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/sds.h>

#if HIREDIS_MAJOR >= 1

/* ---- Each failure in turn ------------------------------------------------------------------ */

static int all_after;     /* not only the k-th request fails */
static size_t refuse_at;

/* A life calls it where the failures begin. */
static void arm(void) {
    if (all_after) alloc_fail_from(refuse_at);
    else alloc_fail_at(refuse_at);
}

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* A life gives 1 when it saw everything it was to see, 0 when an error about memory came first. */
static void every_failure(const char *name, int (*life)(const void *), const void *what) {
    size_t failures[2] = {0, 0};
    for (all_after = 0; all_after < 2; all_after++) {
        for (refuse_at = 1;; refuse_at++) {
            int descriptors = open_descriptors();
            alloc_count_begin();
            int whole = life(what);
            size_t failed = alloc_failures();
            alloc_fail_never();
            alloc_count_end();
            if (open_descriptors() != descriptors) FAIL("%s: descriptors are left open", name);
            if (failed == 0) {
                if (!whole) FAIL("%s: an error without a failure", name);
                break;
            }
            failures[all_after]++;
            if (refuse_at > 3000) FAIL("%s: no end of failures", name);
        }
    }
    if (failures[0] == 0) FAIL("%s: asks for no memory", name);
    printf("     %s: %zu places, %zu failures\n", name, failures[0], failures[0] + failures[1]);
}

/* The error is about memory: gives 0, to be returned by the life. */
static int told(const redisContext *c) {
    CHECK(alloc_failures() > 0);
    if (c != NULL) CHECK_ERROR(c, REDIS_ERR_OOM, "Out of memory");
    return 0;
}

/* ---- Without the library --------------------------------------------------------------------- */

/* Has the server do something from outside, with no memory that the tests count. */
static void from_outside(const char *command) {
    char answer[64];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un sa;
    memset(&sa, 0, sizeof(sa));
    sa.sun_family = AF_UNIX;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", live_unix());
    CHECK_INT(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    hand_send_str(fd, test_printf("%s\r\n", command));
    CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
    CHECK(answer[0] != '-');
    close(fd);
}

static int connected_descriptor(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un sa;
    memset(&sa, 0, sizeof(sa));
    sa.sun_family = AF_UNIX;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", live_unix());
    CHECK_INT(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* ---- Scripts ------------------------------------------------------------------------------------ */

/* What a script sends, and all that its callback gets; want3 where protocol 3 makes a difference, ^ is
 * what a message begins with. A line of "!" is sent from outside, when all before has been answered.
 * "~" is a value that is large. */
struct line {
    const char *words, *want, *want3;
};

struct script {
    const char *name;
    struct line line[12];
    const char *push;      /* what the push callback gets in protocol 3 */
};

#define LINE(words, want) {words, want, NULL}
#define LINE3(words, want, want3) {words, want, want3}

/* Both clients play these. */
static const struct script families[] = {
    {"strings",
     {LINE("SET oom:s hello", "+OK"),
      LINE("APPEND oom:s -world", ":11"),
      LINE("GETRANGE oom:s 6 -1", "\"world\""),
      LINE("MGET oom:s oom:none", "*[\"hello-world\" nil]")},
     NULL},
    {"counters",
     {LINE("SET oom:n 41", "+OK"),
      LINE("INCR oom:n", ":42"),
      LINE("INCRBYFLOAT oom:n 0.5", "\"42.5\""),
      LINE("STRLEN oom:n", ":4")},
     NULL},
    {"hashes",
     {LINE("DEL oom:h", NULL),
      LINE("HSET oom:h a 1 b 2", ":2"),
      LINE3("HGETALL oom:h", "*[\"a\" \"1\" \"b\" \"2\"]", "%[\"a\" \"1\" \"b\" \"2\"]"),
      LINE("HMGET oom:h b z", "*[\"2\" nil]")},
     NULL},
    {"lists",
     {LINE("DEL oom:l", NULL),
      LINE("RPUSH oom:l one two three four", ":4"),
      LINE("LRANGE oom:l 0 -1", "*[\"one\" \"two\" \"three\" \"four\"]"),
      LINE("LPOP oom:l", "\"one\"")},
     NULL},
    {"sets",
     {LINE("DEL oom:set", NULL),
      LINE("SADD oom:set 3 1 2", ":3"),
      LINE3("SMEMBERS oom:set", "*[\"1\" \"2\" \"3\"]", "~[\"1\" \"2\" \"3\"]"),
      LINE("SISMEMBER oom:set 2", ":1")},
     NULL},
    {"sorted sets",
     {LINE("DEL oom:z", NULL),
      LINE("ZADD oom:z 1.5 a 2 b", ":2"),
      LINE3("ZRANGE oom:z 0 -1 WITHSCORES", "*[\"a\" \"1.5\" \"b\" \"2\"]", "*[*[\"a\" ,1.5] *[\"b\" ,2]]"),
      LINE3("ZSCORE oom:z a", "\"1.5\"", ",1.5")},
     NULL},
    {"streams",
     {LINE("DEL oom:x", NULL),
      LINE("XADD oom:x 1-1 f v", "\"1-1\""),
      LINE("XRANGE oom:x - +", "*[*[\"1-1\" *[\"f\" \"v\"]]]"),
      LINE("XLEN oom:x", ":1")},
     NULL},
    {"transactions",
     {LINE("MULTI", "+OK"),
      LINE("SET oom:t 1", "+QUEUED"),
      LINE("INCR oom:t", "+QUEUED"),
      LINE("GET oom:t", "+QUEUED"),
      LINE("EXEC", "*[+OK :2 \"2\"]")},
     NULL},
    {"scripts",
     {LINE("EVAL return{1,{2,{3,{4,{5,'x'}}}},{'a','b'}} 0",
           "*[:1 *[:2 *[:3 *[:4 *[:5 \"x\"]]]] *[\"a\" \"b\"]]"),
      LINE("EVAL return{err='MY'} 0", NULL),
      LINE("EVAL return{ok='fine'} 0", "+fine")},
     NULL},
    {"errors",
     {LINE("SET oom:s x", "+OK"),
      LINE("NOSUCHCOMMAND", NULL),
      LINE("GET", NULL),
      LINE("LPUSH oom:s x", NULL),
      LINE("PING", "+PONG")},
     NULL},
    {"big values",
     {LINE("SET oom:big ~", "+OK"),
      LINE("STRLEN oom:big", ":200000"),
      LINE("GET oom:big", "~"),
      LINE("DEL oom:big", ":1")},
     NULL},
    {"blocking",
     {LINE("DEL oom:q", NULL),
      LINE("BLPOP oom:q 0.01", "nil"),
      LINE("RPUSH oom:q v", ":1"),
      LINE("BLPOP oom:q 1", "*[\"oom:q\" \"v\"]")},
     NULL},
};

/* One each of the types that only protocol 3 has. */
static const struct script types =
    {"types of protocol 3",
     {LINE3("DEBUG PROTOCOL MAP", NULL, "%[:0 #f :1 #t :2 #f]"),
      LINE3("DEBUG PROTOCOL SET", NULL, "~[:0 :1 :2]"),
      LINE3("DEBUG PROTOCOL DOUBLE", NULL, ",3.141"),
      LINE3("DEBUG PROTOCOL NULL", NULL, "nil"),
      LINE3("DEBUG PROTOCOL BIGNUM", NULL, "(1234567999999999999999999999999999999"),
      LINE3("DEBUG PROTOCOL VERBATIM", NULL, "=txt:\"This is a verbatim\\x0astring\""),
      LINE3("DEBUG PROTOCOL TRUE", NULL, "#t"),
      LINE3("DEBUG PROTOCOL FALSE", NULL, "#f"),
      LINE3("DEBUG PROTOCOL ATTRIB", NULL, "\"Some real reply following the attribute\"")},
     NULL};

/* The asynchronous client plays these. */
static const struct script modes[] = {
    {"channels",
     {LINE("SUBSCRIBE oom:a oom:b",
           "^[\"subscribe\" \"oom:a\" :1] ^[\"subscribe\" \"oom:b\" :2] "
           "^[\"message\" \"oom:b\" \"hi\"] ^[\"unsubscribe\" \"oom:a\" :1] "
           "^[\"unsubscribe\" \"oom:b\" :0]"),
      LINE("!PUBLISH oom:b hi", NULL),
      LINE("UNSUBSCRIBE oom:a oom:b", ""),
      LINE("PING", "+PONG")},
     NULL},
    {"patterns",
     {LINE("PSUBSCRIBE oom:*",
           "^[\"psubscribe\" \"oom:*\" :1] ^[\"pmessage\" \"oom:*\" \"oom:c\" \"hi\"] "
           "^[\"punsubscribe\" \"oom:*\" :0]"),
      LINE("!PUBLISH oom:c hi", NULL),
      LINE("PUNSUBSCRIBE", ""),
      LINE("GET oom:none", "nil")},
     NULL},
    {"shards",
     {LINE("SSUBSCRIBE oom:d",
           "^[\"ssubscribe\" \"oom:d\" :1] ^[\"smessage\" \"oom:d\" \"hi\"] "
           "^[\"sunsubscribe\" \"oom:d\" :0]"),
      LINE("!SPUBLISH oom:d hi", NULL),
      LINE("SUNSUBSCRIBE oom:d", ""),
      LINE("GET oom:none", "nil")},
     NULL},
    {"commands while subscribed",
     {LINE("GET oom:none", "nil"),
      LINE("SUBSCRIBE oom:a",
           "^[\"subscribe\" \"oom:a\" :1] ^[\"message\" \"oom:a\" \"1\"] "
           "^[\"message\" \"oom:a\" \"2\"]"),
      LINE3("PING x", "*[\"pong\" \"x\"]", "\"x\""),
      LINE("!PUBLISH oom:a 1", NULL),
      LINE3("PING y", "*[\"pong\" \"y\"]", "\"y\""),
      LINE("!PUBLISH oom:a 2", NULL)},
     NULL},
    {"a subscription in a transaction",
     {LINE("DEL oom:m", NULL),
      LINE("MULTI", "+OK"),
      LINE("INCR oom:m", "+QUEUED"),
      LINE("SUBSCRIBE oom:a", "+QUEUED ^[\"message\" \"oom:a\" \"hi\"]"),
      LINE3("EXEC", "*[:1 *[\"subscribe\" \"oom:a\" :1]]", "*[:1 >[\"subscribe\" \"oom:a\" :1]]"),
      LINE("!PUBLISH oom:a hi", NULL)},
     NULL},
    {"monitoring",
     {LINE("MONITOR", "+OK +@ \"publish\" \"oom:z\" \"hi\""),
      LINE("!publish oom:z hi", NULL)},
     NULL},
    {"a reset",
     {LINE("SUBSCRIBE oom:a", "^[\"subscribe\" \"oom:a\" :1] NULL"),
      LINE("RESET", "+RESET"),
      LINE("PING", "+PONG")},
     NULL},
    {"replies off",
     {LINE("CLIENT REPLY OFF", "NULL"),
      LINE("SET oom:s x", "NULL"),
      LINE("CLIENT REPLY ON", "+OK"),
      LINE("CLIENT REPLY SKIP", "NULL"),
      LINE("SET oom:s y", "NULL"),
      LINE("GET oom:s", "\"y\"")},
     NULL},
    {"another protocol",
     {LINE("HELLO 2", NULL),
      LINE("HELLO 3", NULL),
      LINE("HGETALL oom:none", "%[]"),
      LINE("HELLO 2", NULL),
      LINE("HGETALL oom:none", "*[]")},
     NULL},
};

static const struct script tracking =
    {"invalidations",
     {LINE("CLIENT TRACKING ON", "+OK"),
      LINE("GET oom:k", NULL),
      LINE("!SET oom:k new", NULL),
      LINE("PING", "+PONG"),
      LINE("PING", "+PONG")},
     "push:>[\"invalidate\" *[\"oom:k\"]]"};

#define BIG 200000
static char big_text[BIG + 1];

static const char *big(void) {
    if (big_text[0] == '\0') memset(big_text, 'x', BIG);
    return big_text;
}

static int is_big(const redisReply *r) {
    return r->type == REDIS_REPLY_STRING && r->len == BIG && memcmp(r->str, big(), BIG) == 0;
}

/* Comes in the place of each word; a word "~" is the large value. */
static int split(const char *words, const char *argv[8], size_t len[8]) {
    char *copy = test_printf("%s", words), *save = NULL;
    int n = 0;
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        CHECK(n < 8);
        argv[n] = strcmp(w, "~") == 0 ? big() : w;
        len[n] = strlen(argv[n]);
        n++;
    }
    return n;
}

static const char *wanted(const struct line *l, int protocol) {
    const char *want = protocol == 3 && l->want3 != NULL ? l->want3 : l->want;
    return want == NULL ? NULL : shaped(protocol, want);
}

static const char *shown(const redisReply *r) {
    if (r != NULL && is_big(r)) return "~";
    if (r != NULL && r->type == REDIS_REPLY_STATUS && r->len > 10 && r->str[0] >= '0' && r->str[0] <= '9') {
        const char *after = strstr(r->str, "] ");
        if (after != NULL) return test_printf("+@ %s", after + 2);
    }
    return reply_text(r);
}

/* ---- The blocking client --------------------------------------------------------------------- */

/* After a failure that was got over the pairs are right still; after an error the context can be
 * connected again and serves as before. */
static void serves_again(redisContext *c, int whole, int can_reconnect) {
    alloc_fail_never();
    if (!whole) {
        if (!can_reconnect) return;
        CHECK_INT(redisReconnect(c), REDIS_OK);
    }
    CHECK_STR(command_text(c, "ECHO again"), "\"again\"");
}

enum form { PRINTF, ARGV, PIPELINE };

static int got(redisContext *c, redisReply *r, const char *want) {
    if (r == NULL) return told(c);
    if (want != NULL) CHECK_STR(shown(r), want);
    freeReplyObject(r);
    return 1;
}

static redisReply *next(redisContext *c) {
    void *reply = NULL;
    int status = redisGetReply(c, &reply);
    CHECK_INT(status, reply != NULL ? REDIS_OK : REDIS_ERR);
    return reply;
}

struct sync_life {
    const struct script *script;
    enum form form;
    int protocol;
};

static int send_line(redisContext *c, const struct line *l, const struct sync_life *s, redisReply **r) {
    const char *argv[8];
    size_t len[8];
    int argc = split(l->words, argv, len), status = REDIS_OK;
    *r = NULL;
    if (s->form == PIPELINE) status = redisAppendCommandArgv(c, argc, argv, len);
    else if (s->form == ARGV) *r = redisCommandArgv(c, argc, argv, len);
    else if (argc == 1) *r = redisCommand(c, argv[0]);
    else if (argc == 2) *r = redisCommand(c, "%s %b", argv[0], argv[1], len[1]);
    else if (argc == 3) *r = redisCommand(c, "%s %s %b", argv[0], argv[1], argv[2], len[2]);
    else *r = redisCommandArgv(c, argc, argv, len);
    return status == REDIS_OK;
}

static int play_lines(redisContext *c, const struct sync_life *s) {
    const struct line *l;
    redisReply *r;
    for (l = s->script->line; l->words != NULL; l++) {
        if (!send_line(c, l, s, &r)) return told(c);
        if (s->form != PIPELINE && !got(c, r, wanted(l, s->protocol))) return 0;
    }
    for (l = s->script->line; s->form == PIPELINE && l->words != NULL; l++) {
        if (!got(c, next(c), wanted(l, s->protocol))) return 0;
    }
    return 1;
}

static int sync_life(const void *what) {
    const struct sync_life *s = what;
    redisContext *c = live();
    if (s->protocol == 3) CHECK(strncmp(command_text(c, "HELLO 3"), "%[", 2) == 0);
    arm();
    int whole = play_lines(c, s);
    /* Freeing needs no memory: with all_after every request fails still. */
    if (!all_after) serves_again(c, whole, 1);
    redisFree(c);
    return whole;
}

TEST(oom, every_family_of_commands_asked_by_a_format, "5") {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct sync_life s = {&families[i], PRINTF, 2};
        every_failure(test_printf("%s, by a format", families[i].name), sync_life, &s);
    }
}

TEST(oom, every_family_of_commands_asked_by_arguments_in_protocol_3, "5") {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct sync_life s = {&families[i], ARGV, 3};
        every_failure(test_printf("%s, by arguments", families[i].name), sync_life, &s);
    }
    struct sync_life s = {&types, ARGV, 3};
    every_failure(types.name, sync_life, &s);
}

TEST(oom, every_family_of_commands_in_a_pipeline, "5") {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct sync_life s = {&families[i], PIPELINE, 2};
        every_failure(test_printf("%s, in a pipeline", families[i].name), sync_life, &s);
    }
}

/* ---- Making blocking connections --------------------------------------------------------------- */

static int freed;

static void privdata_gone(void *privdata) {
    (void)privdata;
    freed++;
}

static redisOptions everything(int unix_socket) {
    static struct timeval connect_timeout, command_timeout;
    redisOptions o = {0};
    connect_timeout = seconds(20);
    command_timeout = seconds(20);
    o.connect_timeout = &connect_timeout;
    o.command_timeout = &command_timeout;
    o.options = REDIS_OPT_SET_SOCK_CLOEXEC | REDIS_OPT_PREFER_IPV4;
    if (unix_socket) {
        REDIS_OPTIONS_SET_UNIX(&o, live_unix());
    } else {
        REDIS_OPTIONS_SET_TCP(&o, "127.0.0.1", live_port());
        o.endpoint.tcp.source_addr = "127.0.0.1";
        o.options |= REDIS_OPT_REUSEADDR;
    }
    REDIS_OPTIONS_SET_PRIVDATA(&o, &freed, privdata_gone);
    return o;
}

static const char *const sync_ways[] = {
    "redisConnect", "redisConnectWithTimeout", "redisConnectNonBlock", "redisConnectBindNonBlock",
    "redisConnectBindNonBlockWithReuse", "redisConnectUnix", "redisConnectUnixWithTimeout",
    "redisConnectUnixNonBlock", "redisConnectWithOptions, TCP", "redisConnectWithOptions, unix",
    "redisConnectFd",
};

static redisContext *connect_by(int way, int fd) {
    redisOptions o = everything(way == 9);
    int port = live_port();
    switch (way) {
    case 0: return redisConnect("127.0.0.1", port);
    case 1: return redisConnectWithTimeout("127.0.0.1", port, seconds(20));
    case 2: return redisConnectNonBlock("127.0.0.1", port);
    case 3: return redisConnectBindNonBlock("127.0.0.1", port, "127.0.0.1");
    case 4: return redisConnectBindNonBlockWithReuse("127.0.0.1", port, "127.0.0.1");
    case 5: return redisConnectUnix(live_unix());
    case 6: return redisConnectUnixWithTimeout(live_unix(), seconds(20));
    case 7: return redisConnectUnixNonBlock(live_unix());
    case 8:
    case 9: return redisConnectWithOptions(&o);
    default: return redisConnectFd(fd);
    }
}

/* For a descriptor that does not block: as a program with an event loop of its own does it. */
static int ask_by_hand(redisContext *c) {
    void *reply = NULL;
    int done = 0;
    if (redisAppendCommand(c, "PING") != REDIS_OK) return told(c);
    for (double end = test_now() + 20; !done;) {
        CHECK(test_now() < end);
        if (redisBufferWrite(c, &done) != REDIS_OK) return told(c);
    }
    for (double end = test_now() + 20; reply == NULL;) {
        CHECK(test_now() < end);
        if (redisBufferRead(c) != REDIS_OK) return told(c);
        if (redisGetReplyFromReader(c, &reply) != REDIS_OK) return told(c);
    }
    return got(c, reply, "+PONG");
}

static int connect_life(const void *what) {
    int way = *(const int *)what, fd = way == 10 ? connected_descriptor() : -1;
    freed = 0;
    arm();
    redisContext *c = connect_by(way, fd);
    int whole = 0;
    if (c == NULL) told(NULL);
    else if (c->err != 0) told(c);
    else if (c->flags & REDIS_BLOCK) whole = got(c, redisCommand(c, "PING"), "+PONG");
    else whole = ask_by_hand(c);
    int mine = c == NULL && fd >= 0;
    redisFree(c);
    if (mine) {
        CHECK(is_open(fd));
        close(fd);
    }
    CHECK(freed <= 1);
    if (c != NULL && (way == 8 || way == 9) && whole) CHECK_INT(freed, 1);
    return whole;
}

TEST(oom, every_way_to_connect, "5 6") {
    for (int way = 0; way < (int)(sizeof(sync_ways) / sizeof(sync_ways[0])); way++)
        every_failure(sync_ways[way], connect_life, &way);
}

/* ---- The rest of a blocking life --------------------------------------------------------------- */

static int reconnect_life(const void *what) {
    (void)what;
    redisOptions o = everything(0);
    redisContext *c = redisConnectWithOptions(&o);
    CHECK_NO_ERROR(c);
    CHECK_INT(redisAppendCommand(c, "PING"), REDIS_OK);
    arm();
    int whole = redisReconnect(c) == REDIS_OK ? got(c, redisCommand(c, "ECHO x"), "\"x\"") : told(c);
    if (!all_after) serves_again(c, whole, 1);
    redisFree(c);
    return whole;
}

static int settings_life(const void *what) {
    (void)what;
    redisContext *c = live_tcp();
    arm();
    int whole = redisSetTimeout(c, seconds(20)) == REDIS_OK ? 1 : told(c);
    if (whole) CHECK_INT(redisEnableKeepAliveWithInterval(c, 30), REDIS_OK);
    if (whole) whole = got(c, redisCommand(c, "PING"), "+PONG");
    if (!all_after) serves_again(c, whole, 1);
    redisFree(c);
    return whole;
}

/* The descriptor goes on to another context. */
static int handover_life(const void *what) {
    (void)what;
    redisContext *c = live(), *d;
    arm();
    int whole = got(c, redisCommand(c, "PING"), "+PONG"), fd = redisFreeKeepFd(c);
    CHECK(is_open(fd));
    d = redisConnectFd(fd);
    if (d == NULL) whole = told(NULL);
    else if (whole) whole = got(d, redisCommand(d, "ECHO y"), "\"y\"");
    if (d != NULL) redisFree(d);
    else close(fd);
    return whole;
}

static int sync_subscription_life(const void *what) {
    (void)what;
    redisContext *c = live();
    arm();
    int whole = got(c, redisCommand(c, "SUBSCRIBE oom:a"), "*[\"subscribe\" \"oom:a\" :1]");
    if (whole) {
        from_outside("PUBLISH oom:a hi");
        whole = got(c, next(c), "*[\"message\" \"oom:a\" \"hi\"]");
    }
    if (whole) whole = got(c, redisCommand(c, "UNSUBSCRIBE"), "*[\"unsubscribe\" \"oom:a\" :0]");
    if (!all_after && !whole) serves_again(c, 0, 1);
    redisFree(c);
    return whole;
}

static int pushes;

static void on_push(void *privdata, void *reply) {
    (void)privdata;
    CHECK_STR(reply_text(reply), ">[\"invalidate\" *[\"oom:k\"]]");
    freeReplyObject(reply);
    pushes++;
}

static int sync_push_life(const void *what) {
    (void)what;
    redisContext *c = live();
    pushes = 0;
    redisSetPushCallback(c, on_push);
    CHECK(strncmp(command_text(c, "HELLO 3"), "%[", 2) == 0);
    CHECK_STR(command_text(c, "CLIENT TRACKING ON"), "+OK");
    freeReplyObject(redisCommand(c, "GET oom:k"));
    from_outside("SET oom:k x");
    arm();
    int whole = got(c, redisCommand(c, "PING"), "+PONG");
    if (whole) CHECK_INT(pushes, 1);
    if (!all_after) serves_again(c, whole, 1);
    redisFree(c);
    return whole;
}

static int sync_monitor_life(const void *what) {
    (void)what;
    redisContext *c = live();
    arm();
    int whole = got(c, redisCommand(c, "MONITOR"), "+OK");
    if (whole) {
        from_outside("PUBLISH oom:z hi");
        whole = got(c, next(c), "+@ \"PUBLISH\" \"oom:z\" \"hi\"");
    }
    if (!all_after && !whole) serves_again(c, 0, 1);
    redisFree(c);
    return whole;
}

/* A reply with many parts, which grows the vectors of the reader: 120 arrays within an array. */
static int nested_life(const void *what) {
    (void)what;
    redisContext *c = live();
    arm();
    int whole = 1;
    redisReply *r = redisCommand(c, "EVAL %s 0", "local t={} for i=1,120 do t[i]={i,{'v'..i}} end return t");
    if (r == NULL) {
        whole = told(c);
    } else {
        CHECK_REPLY_ARRAY(r, 120);
        CHECK_STR(reply_text(r->element[119]), "*[:120 *[\"v120\"]]");
        freeReplyObject(r);
    }
    if (!all_after) serves_again(c, whole, 1);
    redisFree(c);
    return whole;
}

TEST(oom, the_rest_of_a_blocking_life, "5 6") {
    every_failure("reconnecting", reconnect_life, NULL);
    every_failure("settings", settings_life, NULL);
    every_failure("a descriptor handed over", handover_life, NULL);
    every_failure("a blocking subscription", sync_subscription_life, NULL);
    every_failure("a blocking monitor", sync_monitor_life, NULL);
    every_failure("a push before a reply", sync_push_life, NULL);
}

TEST(oom, a_large_nested_reply, "5 6") { every_failure("120 nested arrays", nested_life, NULL); }

/* ---- The asynchronous client ------------------------------------------------------------------- */

struct asked {
    const char *want;
    char got[700];
    int accepted, calls, nulls, once;
};

static struct async_state {
    conn c;
    struct asked asked[16];
    int n, refused, status;
} a;

static void heard(redisAsyncContext *ac, void *reply, void *privdata) {
    struct asked *q = privdata;
    const char *text = shown(reply);
    CHECK(q->accepted);
    CHECK(a.c.ac == ac);
    size_t len = strlen(q->got);
    if (len + strlen(text) + 2 > sizeof(q->got)) text = "...";
    sprintf(q->got + len, "%s%s", len > 0 ? " " : "", text);
    q->calls++;
    q->nulls += reply == NULL;
}

/* What came must begin what was wanted. NULL, for each channel, may stand in the place of all the rest. */
static void compare(const struct asked *q) {
    size_t len = strlen(q->got);
    if (q->want == NULL || strcmp(q->got, q->want) == 0) return;
    while (len >= 4 && memcmp(q->got + len - 4, "NULL", 4) == 0) len -= len > 4 ? 5 : 4;
    if (strncmp(q->got, q->want, len) != 0) FAIL("got %s, wanted %s", q->got, q->want);
}

static int all_heard(void) {
    for (int i = 0; i < a.n; i++) {
        const struct asked *q = &a.asked[i];
        if (!q->accepted) continue;
        if (q->want != NULL && strlen(q->got) < strlen(q->want)) return 0;
        if (q->want == NULL && q->calls == 0) return 0;
    }
    return 1;
}

static int none_unheard(void) {
    for (int i = 0; i < a.n; i++) {
        const struct asked *q = &a.asked[i];
        if (q->accepted && q->calls == 0 && (q->want == NULL || q->want[0] != '\0')) return 0;
    }
    return 1;
}

/* Runs the loop until the condition holds or the connection is over. */
static void run_until(int (*holds)(void)) {
    for (double end = test_now() + 20; a.c.ac != NULL && (holds == NULL || !holds()); conn_step(&a.c, 50)) {
        if (test_now() < end) continue;
        for (int i = 0; i < a.n; i++)
            if (a.asked[i].want != NULL && strcmp(a.asked[i].got, a.asked[i].want) != 0)
                FAIL("waited in vain: got %s, wanted %s", a.asked[i].got, a.asked[i].want);
        FAIL("waited in vain, %d commands, log %s", a.n, log_text());
    }
}

static int connected(void) { return a.c.connects > 0; }

static int names_channels(const char *words) {
    const char *s = strstr(words, "SUBSCRIBE");
    return s != NULL && s - words <= 2;
}

static int ask_line(const struct line *l, int protocol) {
    const char *argv[8];
    size_t len[8];
    int argc = split(l->words, argv, len);
    struct asked *q = &a.asked[a.n];
    CHECK(a.n < 16);
    memset(q, 0, sizeof(*q));
    q->want = wanted(l, protocol);
    q->once = !names_channels(l->words) && strcmp(l->words, "MONITOR") != 0;
    q->accepted = 1;
    a.n++;
    if (redisAsyncCommandArgv(a.c.ac, heard, q, argc, argv, len) == REDIS_OK) return 1;
    q->accepted = 0;
    CHECK_INT(q->calls, 0);
    CHECK_INT(a.c.ac->err, a.c.ac->c.err);
    return told(&a.c.ac->c);
}

static void over(conn *c, int status) {
    a.status = status;
    if (status != REDIS_OK) told(&c->ac->c);
}

static void begin(void) {
    memset(&a, 0, sizeof(a));
    a.c.server = a.c.listener = -1;
    log_take();
    a.c.on_disconnect = over;
    a.c.on_connect = over;
}

/* Attaches to a context that may not be there; 0: there is nothing to attach to. */
static int attach(redisAsyncContext *ac) {
    if (ac == NULL) return told(NULL);
    if (ac->err != 0) {
        CHECK_INT(ac->err, ac->c.err);
        told(&ac->c);
        redisAsyncFree(ac);
        return 0;
    }
    conn_adopt(&a.c, ac);
    return 1;
}

/* Ends in one way or another and looks at what the callbacks were told. */
static void finish(int whole) {
    if (a.c.ac != NULL && whole) {
        /* Subscriptions would be waited for. */
        int busy = a.c.ac->c.flags & (REDIS_SUBSCRIBED | REDIS_MONITORING);
        if (busy) redisAsyncFree(a.c.ac);
        else redisAsyncDisconnect(a.c.ac);
        run_until(NULL);
        CHECK_INT(a.c.disconnects, 1);
        CHECK_INT(a.status, REDIS_OK);
    } else if (a.c.ac != NULL) {
        /* A refused command; what was accepted before it is told of the end. */
        if (refuse_at % 2 == 0) redisAsyncFree(a.c.ac);
        else redisAsyncDisconnect(a.c.ac);
        run_until(NULL);
    }
    for (int i = 0; i < a.n; i++) {
        const struct asked *q = &a.asked[i];
        int told_once = q->accepted ? 1 : 0;
        if (q->once && q->want != NULL && q->want[0] == '\0') told_once = 0;
        if (q->once) CHECK_INT(q->calls, told_once);
        else if (q->want == NULL || q->want[0] != '\0') CHECK(q->calls >= told_once);
        compare(q);
    }
    CHECK(a.c.connects <= 1);
    CHECK(a.c.disconnects <= a.c.connects);
    if (a.c.attached) {
        CHECK_INT(a.c.cleanups, 1);
        CHECK_INT(a.c.datas, 1);
        CHECK_INT(a.c.privdatas, 1);
    }
}

static int play_script(const struct script *s, int protocol) {
    for (const struct line *l = s->line; l->words != NULL; l++) {
        if (l->words[0] == '!') {
            run_until(none_unheard);
            if (a.c.ac == NULL) return 0;
            from_outside(l->words + 1);
            if (protocol == 2 || s->push == NULL) continue;
        } else if (!ask_line(l, protocol)) {
            return 0;
        }
    }
    run_until(all_heard);
    if (a.c.ac == NULL) return 0;
    for (int i = 0; i < a.n; i++)
        if (a.asked[i].want != NULL) CHECK_STR(a.asked[i].got, a.asked[i].want);
    if (s->push != NULL) CHECK(strstr(log_text(), s->push) != NULL);
    return 1;
}

struct async_life {
    const struct script *script;
    int protocol;
};

static const struct line hello = LINE("HELLO 3", NULL);

static int async_life(const void *what) {
    const struct async_life *s = what;
    begin();
    if (!attach(redisAsyncConnectUnix(live_unix()))) return 0;
    run_until(connected);
    if (s->protocol == 3) {
        CHECK(ask_line(&hello, 3));
        run_until(all_heard);
    }
    arm();
    int whole = play_script(s->script, s->protocol);
    if (!all_after) alloc_fail_never();
    finish(whole);
    return whole;
}

static void play_async(const struct script *s, int protocol) {
    struct async_life life = {s, protocol};
    every_failure(test_printf("%s, asynchronously, protocol %d", s->name, protocol), async_life, &life);
}

TEST(oom, every_family_of_commands_asynchronously_in_protocol_2, "5 7") {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) play_async(&families[i], 2);
}

TEST(oom, every_family_of_commands_asynchronously_in_protocol_3, "5 7") {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) play_async(&families[i], 3);
    play_async(&types, 3);
    play_async(&tracking, 3);
}

TEST(oom, subscriptions_and_modes_in_protocol_2, "5 7") {
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) play_async(&modes[i], 2);
}

TEST(oom, subscriptions_and_modes_in_protocol_3, "5 7") {
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) play_async(&modes[i], 3);
}

/* ---- Making asynchronous connections ------------------------------------------------------------ */

static const char *const async_ways[] = {
    "redisAsyncConnect", "redisAsyncConnectBind", "redisAsyncConnectBindWithReuse", "redisAsyncConnectUnix",
    "redisAsyncConnectWithOptions, TCP", "redisAsyncConnectWithOptions, unix",
    "redisAsyncConnectWithOptions, a descriptor",
};

static redisAsyncContext *connect_async_by(int way, int fd) {
    redisOptions o = everything(way == 5);
    REDIS_OPTIONS_SET_PRIVDATA(&o, NULL, NULL);
    switch (way) {
    case 0: return redisAsyncConnect("127.0.0.1", live_port());
    case 1: return redisAsyncConnectBind("127.0.0.1", live_port(), "127.0.0.1");
    case 2: return redisAsyncConnectBindWithReuse("127.0.0.1", live_port(), "127.0.0.1");
    case 3: return redisAsyncConnectUnix(live_unix());
    case 6:
        o.type = REDIS_CONN_USERFD;
        o.endpoint.fd = fd;
        return redisAsyncConnectWithOptions(&o);
    default: return redisAsyncConnectWithOptions(&o);
    }
}

static int async_connect_life(const void *what) {
    static const struct script ping = {"", {LINE("PING", "+PONG"), LINE("ECHO x", "\"x\"")}, NULL};
    int way = *(const int *)what, fd = -1;
    begin();
    if (way == 6) {
        fd = connected_descriptor();
        CHECK_INT(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    }
    arm();
    redisAsyncContext *ac = connect_async_by(way, fd);
    int taken = ac != NULL && ac->c.fd == fd;
    int attached = attach(ac);
    /* Without a context that has it, it is the program's still. */
    if (fd >= 0 && !taken) {
        CHECK(is_open(fd));
        close(fd);
    }
    if (!attached) return 0;
    int whole = play_script(&ping, 2);
    if (!all_after) alloc_fail_never();
    finish(whole);
    return whole;
}

TEST(oom, every_way_to_connect_asynchronously, "5 6 7") {
    for (int way = 0; way < (int)(sizeof(async_ways) / sizeof(async_ways[0])); way++)
        every_failure(async_ways[way], async_connect_life, &way);
}

/* ---- Calls from callbacks, and ends of all kinds ------------------------------------------------- */

static const struct line later[] = {LINE("GET oom:none", "nil"),
                                    LINE("SUBSCRIBE oom:a", "*[\"subscribe\" \"oom:a\" :1]")};

enum act { ASK, FREE, DISCONNECT };
static enum act act;
static int acted;

static void acting(redisAsyncContext *ac, void *reply, void *privdata) {
    heard(ac, reply, privdata);
    if (reply == NULL || acted) return;
    acted = 1;
    if (act == FREE) redisAsyncFree(ac);
    if (act == DISCONNECT) redisAsyncDisconnect(ac);
    if (act == ASK)
        for (size_t i = 0; i < 2 && ask_line(&later[i], 2); i++) continue;
}

static int acting_life(const void *what) {
    static const struct line after = LINE("PING", "+PONG");
    act = *(const enum act *)what;
    acted = 0;
    begin();
    if (!attach(redisAsyncConnectUnix(live_unix()))) return 0;
    arm();
    struct asked *q = &a.asked[a.n++];
    q->want = "+PONG";
    q->once = q->accepted = 1;
    int whole = redisAsyncCommand(a.c.ac, acting, q, "PING") == REDIS_OK;
    if (!whole) {
        q->accepted = 0;
        told(&a.c.ac->c);
    }
    if (whole) whole = ask_line(&after, 2);
    run_until(all_heard);
    if (act == ASK) {
        whole = whole && a.c.ac != NULL && a.n == 4 && a.asked[3].accepted;
    } else {
        whole = whole && acted && a.c.ac == NULL && a.status == REDIS_OK && a.c.disconnects == 1;
    }
    if (!all_after) alloc_fail_never();
    finish(whole);
    return whole;
}

static int refused_life(const void *what) {
    int fd, port = hand_dead_port(&fd), tcp = *(const int *)what;
    static const struct line ping = LINE("PING", "NULL");
    begin();
    a.c.on_connect = NULL;
    arm();
    redisAsyncContext *ac =
        tcp ? redisAsyncConnect("127.0.0.1", port) : redisAsyncConnectUnix("/nonexistent/socket");
    int whole = 0;
    if (ac != NULL && ac->err != 0 && ac->err != REDIS_ERR_OOM) {
        CHECK_INT(ac->err, REDIS_ERR_IO);
        redisAsyncFree(ac);
        whole = 1;
    } else if (attach(ac)) {
        whole = ask_line(&ping, 2);
        run_until(all_heard);
        if (!all_after) alloc_fail_never();
        finish(0);
    }
    close(fd);
    return whole;
}

/* The server ends in the middle of a reply. */
static int hangup_life(const void *what) {
    (void)what;
    static const struct line lines[] = {LINE("GET k", "\"v\""), LINE("GET k", "NULL"),
                                        LINE("SUBSCRIBE c", "NULL")};
    int fd[2], whole = 1;
    redisOptions o = {0};
    begin();
    a.c.on_disconnect = NULL;
    hand_pair(fd);
    CHECK_INT(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    o.type = REDIS_CONN_USERFD;
    o.endpoint.fd = fd[0];
    arm();
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&o);
    if (ac == NULL) close(fd[0]);
    if (!attach(ac)) {
        close(fd[1]);
        return 0;
    }
    for (int i = 0; i < 3 && whole; i++) whole = ask_line(&lines[i], 2);
    if (a.c.ac != NULL && whole) {
        hand_send_str(fd[1], "$1\r\nv\r\n$100\r\nhalf");
        shutdown(fd[1], SHUT_WR);
        run_until(NULL);
        whole = a.asked[0].nulls == 0;
    }
    if (!all_after) alloc_fail_never();
    finish(0);
    close(fd[1]);
    if (whole) CHECK_STR(a.asked[0].got, "\"v\"");
    return whole;
}

static int timeout_life(const void *what) {
    (void)what;
    static const struct line ping = LINE("PING", "+PONG");
    begin();
    if (!attach(redisAsyncConnectUnix(live_unix()))) return 0;
    run_until(connected);
    arm();
    int whole = redisAsyncSetTimeout(a.c.ac, seconds(20)) == REDIS_OK;
    if (!whole) {
        CHECK_INT(a.c.ac->err, REDIS_ERR_OOM);
        told(&a.c.ac->c);
    }
    if (whole) whole = ask_line(&ping, 2);
    if (whole) run_until(all_heard);
    whole = whole && a.c.ac != NULL;
    if (!all_after) alloc_fail_never();
    finish(whole);
    return whole;
}

/* printf-like, formatted by the program, and without a callback. */
static int forms_life(const void *what) {
    (void)what;
    static const char bytes[] = "*2\r\n$4\r\nECHO\r\n$1\r\nf\r\n";
    static const char *const want[] = {"\"p\"", "\"f\"", "+PONG"};
    int whole = 1;
    begin();
    if (!attach(redisAsyncConnectUnix(live_unix()))) return 0;
    run_until(connected);
    arm();
    for (int i = 0; i < 4 && whole; i++) {
        struct asked *q = &a.asked[a.n];
        if (i == 2) {
            whole = redisAsyncCommand(a.c.ac, NULL, NULL, "SET oom:s %b", big(), (size_t)BIG) == REDIS_OK;
            continue;
        }
        a.n++;
        q->want = want[a.n - 1];
        q->accepted = q->once = 1;
        int status = i == 0   ? redisAsyncCommand(a.c.ac, heard, q, "ECHO %s", "p")
                     : i == 1 ? redisAsyncFormattedCommand(a.c.ac, heard, q, bytes, sizeof(bytes) - 1)
                              : redisAsyncCommand(a.c.ac, heard, q, "PING");
        whole = q->accepted = status == REDIS_OK;
    }
    if (!whole) told(&a.c.ac->c);
    else run_until(all_heard);
    whole = whole && a.c.ac != NULL;
    if (!all_after) alloc_fail_never();
    finish(whole);
    return whole;
}

TEST(oom, calls_from_callbacks, "5 7") {
    static const char *const names[] = {"asking in a callback", "freeing in a callback",
                                        "disconnecting in a callback"};
    for (enum act i = ASK; i <= DISCONNECT; i++) every_failure(names[i], acting_life, &i);
}

TEST(oom, ends_and_settings_of_asynchronous_connections, "5 7") {
    for (int tcp = 0; tcp < 2; tcp++)
        every_failure(tcp ? "a refused port" : "a missing socket", refused_life, &tcp);
    every_failure("a server that hangs up", hangup_life, NULL);
    every_failure("a command timeout", timeout_life, NULL);
    every_failure("commands in every form", forms_life, NULL);
}
#endif
