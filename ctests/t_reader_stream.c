/* The reader as a stream: pieces, custom objects, the buffer, memory. */
#include "reading.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/sds.h>

/* One reply of every kind, and nests of them. */
static const char *const corpus[] = {
    "+OK\r\n", "-ERR wrong kind of value\r\n", ":0\r\n", ":-9223372036854775808\r\n", "$-1\r\n", "$0\r\n\r\n",
    "$3\r\nfoo\r\n", "$8\r\n\r\n$3\r\n\r\n\r\n", "*-1\r\n", "*0\r\n", "*1\r\n*1\r\n:1\r\n", "+\r\n",
    "*3\r\n$3\r\nfoo\r\n*2\r\n:1\r\n$-1\r\n+end\r\n", "*2\r\n*0\r\n*0\r\n",
#if HIREDIS_MAJOR >= 1
    "_\r\n", "#t\r\n", "#f\r\n", ",3.25\r\n", ",-inf\r\n", "(12345678901234567890\r\n", "=7\r\ntxt:a\r\n\r\n", "=-1\r\n",
    "%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*1\r\n#t\r\n", "~2\r\n:1\r\n:2\r\n", ">2\r\n+message\r\n$2\r\nhi\r\n",
    "|1\r\n+ttl\r\n:3600\r\n", "%0\r\n", "~-1\r\n", "*2\r\n=5\r\nmkd:x\r\n,1e5\r\n",
#endif
};
#define CORPUS (sizeof(corpus) / sizeof(*corpus))

static const char *all_of_corpus(void) {
    const char *all = "";
    for (size_t i = 0; i < CORPUS; i++) all = test_printf("%s%s", all, corpus[i]);
    return all;
}

/* Feeds the bytes cut at the given places and returns all replies as text. */
static const char *read_in_pieces(const char *bytes, size_t len, const size_t *cuts, size_t ncuts) {
    redisReader *r = redisReaderCreate();
    const char *text = "";
    size_t at = 0;
    for (size_t i = 0; i <= ncuts; i++) {
        size_t end = i < ncuts ? cuts[i] : len;
        redisReply *reply;
        if (end > at) feed(r, bytes + at, end - at);
        at = end;
        while ((reply = next_reply(r)) != NULL) {
            text = test_printf("%s%s\n", text, reply_text(reply));
            freeReplyObject(reply);
        }
    }
    CHECK_UINT(r->len - r->pos, 0);
    redisReaderFree(r);
    return text;
}

/* ---- Pieces ----------------------------------------------------------------------------- */

TEST(reader_stream, no_prefix_of_a_reply_is_a_reply, "67") {
    for (size_t i = 0; i < CORPUS; i++) {
        size_t len = strlen(corpus[i]);
        const char *want = parsed(corpus[i], len);
        for (size_t cut = 0; cut < len; cut++) {
            redisReader *r = redisReaderCreate();
            feed(r, corpus[i], cut);
            CHECK_PTR(next_reply(r), NULL);
            CHECK_PTR(next_reply(r), NULL);
            feed(r, corpus[i] + cut, len - cut);
            redisReply *reply = next_reply(r);
            CHECK_STR(reply_text(reply), want);
            freeReplyObject(reply);
            CHECK_PTR(next_reply(r), NULL);
            redisReaderFree(r);
        }
    }
}

TEST(reader_stream, a_stream_may_be_cut_at_any_byte, "67 68 69") {
    const char *all = all_of_corpus();
    size_t len = strlen(all);
    const char *want = read_in_pieces(all, len, NULL, 0);
    for (size_t cut = 1; cut < len; cut++) CHECK_STR(read_in_pieces(all, len, &cut, 1), want);
}

TEST(reader_stream, a_stream_may_be_cut_at_any_two_bytes, "67") {
    static const char bytes[] = "*3\r\n$5\r\nhe\r\no\r\n:-12\r\n*2\r\n+a\r\n$-1\r\n-E x\r\n*0\r\n";
    size_t len = sizeof(bytes) - 1;
    const char *want = read_in_pieces(bytes, len, NULL, 0);
    for (size_t a = 1; a < len; a++) {
        for (size_t b = a + 1; b < len; b++) {
            size_t cuts[] = {a, b};
            CHECK_STR(read_in_pieces(bytes, len, cuts, 2), want);
        }
    }
}

TEST(reader_stream, a_stream_may_come_byte_by_byte_or_in_random_chunks, "67 83") {
    const char *all = repeat(all_of_corpus(), 20, "");
    size_t len = strlen(all), *cuts = test_bytes(len * sizeof(*cuts));
    const char *want = read_in_pieces(all, len, NULL, 0);
    for (size_t i = 0; i + 1 < len; i++) cuts[i] = i + 1;
    CHECK_STR(read_in_pieces(all, len, cuts, len - 1), want);
    for (int round = 0; round < 300; round++) {
        size_t n = 0, most = 1 + test_random_below(round % 2 ? 10 : 1000);
        for (size_t at = 1 + test_random_below(most); at < len; at += 1 + test_random_below(most)) cuts[n++] = at;
        const char *got = read_in_pieces(all, len, cuts, n);
        if (strcmp(got, want) != 0) FAIL("seed %u, round %d: the replies differ", test_seed(), round);
    }
}

TEST(reader_stream, cr_and_lf_may_come_apart, "68") {
    redisReader *r = redisReaderCreate();
    FEED(r, "+OK\r");
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "\n");
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STATUS(reply, "OK");
    freeReplyObject(reply);
    FEED(r, "$3\r");
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "\nfoo\r");
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "\n*1\r");
    reply = next_reply(r);
    CHECK_REPLY_STRING(reply, "foo");
    freeReplyObject(reply);
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "\n:7\r");
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "\n");
    reply = next_reply(r);
    CHECK_STR(reply_text(reply), "*[:7]");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, an_array_goes_on_in_a_later_feed, "69") {
    redisReader *r = redisReaderCreate();
    FEED(r, "*2\r\n+one\r\n");
    CHECK_PTR(next_reply(r), NULL);
    CHECK(redisReaderGetObject(r) != NULL);
    FEED(r, "*1\r\n$100\r\n");
    CHECK_PTR(next_reply(r), NULL);
    const char *x = repeat("x", 60, "");
    feed(r, x, 60);
    CHECK_PTR(next_reply(r), NULL);
    feed(r, x, 40);
    FEED(r, "\r\n+next");
    redisReply *reply = next_reply(r);
    CHECK_REPLY_ARRAY(reply, 2);
    CHECK_UINT(reply->element[1]->element[0]->len, 100);
    freeReplyObject(reply);
    CHECK_PTR(redisReaderGetObject(r), NULL);
    CHECK_PTR(next_reply(r), NULL);
    redisReaderFree(r);
}

TEST(reader_stream, a_call_gives_one_reply, "80") {
    redisReader *r = redisReaderCreate();
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "+a\r\n+b\r\n+c\r\n");
    for (const char *want = "abc"; *want != '\0'; want++) {
        CHECK_UINT(r->len - r->pos, 4 * strlen(want));
        redisReply *reply = next_reply(r);
        CHECK_INT(reply->str[0], *want);
        freeReplyObject(reply);
    }
    CHECK_UINT(r->len - r->pos, 0);
    CHECK_PTR(next_reply(r), NULL);
    CHECK_PTR(next_reply(r), NULL);
    FEED(r, "+d\r\n");
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STATUS(reply, "d");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, feeding_nothing_is_fine, "79") {
    redisReader *r = redisReaderCreate();
    CHECK_INT(redisReaderFeed(r, NULL, 10), REDIS_OK);
    CHECK_INT(redisReaderFeed(r, "x", 0), REDIS_OK);
    CHECK_INT(redisReaderFeed(r, NULL, 0), REDIS_OK);
    CHECK_UINT(r->len, 0);
    FEED(r, "+a\r\n");
    CHECK_INT(redisReaderFeed(r, NULL, 10), REDIS_OK);
    CHECK_UINT(r->len, 4);
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STATUS(reply, "a");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, the_bytes_fed_stay_the_callers, "67") {
    redisReader *r = redisReaderCreate();
    char bytes[] = "$3\r\nfoo\r\n";
    feed(r, bytes, 9);
    memset(bytes, '!', sizeof(bytes));
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STRING(reply, "foo");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, a_reply_nobody_wants_is_freed, "73") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "*2\r\n$3\r\nfoo\r\n+bar\r\n:1\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    CHECK_PTR(r->reply, NULL);
    redisReply *reply = next_reply(r);
    CHECK_REPLY_INT(reply, 1);
    freeReplyObject(reply);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, a_reader_may_be_freed_at_any_point, "78") {
    const char *all = all_of_corpus();
    for (size_t cut = 0; cut <= strlen(all); cut++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        redisReply *reply;
        if (cut > 0) feed(r, all, cut);
        if (cut % 2 == 0) {
            while ((reply = next_reply(r)) != NULL) freeReplyObject(reply);
        }
        redisReaderFree(r);
        alloc_count_end();
    }
    redisReaderFree(NULL);
}

TEST(reader_stream, a_new_reader_has_the_default_settings, "82") {
    redisReader *r = redisReaderCreate();
    CHECK_INT(r->err, 0);
    CHECK_STR(r->errstr, "");
    CHECK(r->buf != NULL);
    CHECK_UINT(r->pos, 0);
    CHECK_UINT(r->len, 0);
    CHECK_UINT(r->maxbuf, REDIS_READER_MAX_BUF);
    CHECK_UINT(r->maxbuf, 16384);
    CHECK_INT(r->ridx, -1);
    CHECK_PTR(r->reply, NULL);
    CHECK(r->fn != NULL && r->fn->createString != NULL && r->fn->freeObject != NULL);
    CHECK_PTR(r->privdata, NULL);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(r->maxelements, REDIS_READER_MAX_ARRAY_ELEMENTS);
    CHECK_INT(r->maxelements, 4294967295);
#endif
    redisReaderFree(r);
}

/* ---- Types instead of objects --------------------------------------------------------------- */

/* The pointer value that comes back for the bytes. */
static long object_value(redisReader *r, const char *bytes) {
    void *reply = NULL;
    feed(r, bytes, strlen(bytes));
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(r->reply, NULL);
    return (long)(intptr_t)reply;
}

TEST(reader_stream, without_functions_a_reply_is_its_type_number, "70") {
    redisReader *r = redisReaderCreate();
    r->fn = NULL;
    CHECK_INT(object_value(r, "+OK\r\n"), REDIS_REPLY_STATUS);
    CHECK_INT(object_value(r, "+OK\r\n"), 5);
    CHECK_INT(object_value(r, "-ERR\r\n"), REDIS_REPLY_ERROR);
    CHECK_INT(object_value(r, ":1\r\n"), REDIS_REPLY_INTEGER);
    CHECK_INT(object_value(r, "$3\r\nfoo\r\n"), REDIS_REPLY_STRING);
    CHECK_INT(object_value(r, "$-1\r\n"), REDIS_REPLY_NIL);
    CHECK_INT(object_value(r, "*-1\r\n"), REDIS_REPLY_NIL);
    CHECK_INT(object_value(r, "*0\r\n"), REDIS_REPLY_ARRAY);
    CHECK_INT(object_value(r, "*2\r\n:1\r\n*1\r\n$1\r\nx\r\n"), REDIS_REPLY_ARRAY);
    redisReaderFree(r);
}

TEST_1X(reader_stream, without_functions_every_resp3_type_has_its_number, "70") {
    redisReader *r = redisReaderCreateWithFunctions(NULL);
    CHECK_PTR(r->fn, NULL);
    CHECK_INT(object_value(r, "_\r\n"), 4);
    CHECK_INT(object_value(r, ",1.5\r\n"), 7);
    CHECK_INT(object_value(r, "#t\r\n"), 8);
    CHECK_INT(object_value(r, "#f\r\n"), 8);
    CHECK_INT(object_value(r, "%1\r\n+a\r\n+b\r\n"), 9);
    CHECK_INT(object_value(r, "~1\r\n:1\r\n"), 10);
    CHECK_INT(object_value(r, "|1\r\n+a\r\n+b\r\n"), 11);
    CHECK_INT(object_value(r, ">1\r\n+a\r\n"), 12);
    CHECK_INT(object_value(r, "(1\r\n"), 13);
    CHECK_INT(object_value(r, "=4\r\ntxt:\r\n"), 14);
    CHECK_INT(object_value(r, "=-1\r\n"), 4);
    CHECK_INT(object_value(r, "%-1\r\n"), 4);
    CHECK_INT(object_value(r, "%0\r\n"), 9);
    CHECK_INT(object_value(r, "~0\r\n"), 10);
    /* The values are still checked. */
    FEED(r, "*1\r\n#x\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_ERR);
    CHECK_STR(r->errstr, "Bad bool value");
    redisReaderFree(r);
}

TEST(reader_stream, without_functions_a_line_may_come_apart, "71") {
    redisReader *r = redisReaderCreate();
    r->fn = NULL;
    void *reply = r;
    FEED(r, "+OK\r");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(reply, NULL);
    FEED(r, "\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT((intptr_t)reply, REDIS_REPLY_STATUS);
    redisReaderFree(r);
}

TEST(reader_stream, without_functions_a_half_read_reply_is_forgotten, "70 78") {
    alloc_count_begin();
    redisReader *r = redisReaderCreateWithFunctions(NULL);
    void *reply = r;
    FEED(r, "*2\r\n+a\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(reply, NULL);
    redisReaderFree(r);
    r = redisReaderCreateWithFunctions(NULL);
    FEED(r, "*2\r\n+a\r\n+b\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    FEED(r, "*2\r\n:1\r\n@");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_ERR);
    CHECK_PTR(reply, NULL);
    redisReaderFree(r);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1

/* ---- Objects of the program's own ------------------------------------------------------------- */

/* Each call of a constructor is one line of the log: its letter, the task's type, the value,
 * and where: "root", or the number of the parent object with the index and the parent's count. */

struct object {
    int number, depth, freed;
    const redisReadTask *task; /* of aggregates: where their children find it as their parent */
    struct object *parent, *next;
};

static struct object *objects;
static int object_count, fail_number; /* the constructor call that returns NULL; 0: none */
static const char *calls;
static redisReader *calling; /* the reader under test */

static void *object_new(const redisReadTask *task, char letter, const char *value) {
    struct object *o = test_bytes(sizeof(*o));
    int depth = 0;
    memset(o, 0, sizeof(*o));
    o->number = ++object_count;
    o->task = task;
    CHECK_INT(task->elements, -1);
    for (const redisReadTask *t = task->parent; t != NULL; t = t->parent) depth++;
    o->depth = depth;
    calls = test_printf("%s%c%d:%s@", calls, letter, task->type, value);
    if (task->parent == NULL) {
        CHECK_INT(task->idx, -1);
        CHECK_PTR(task->obj, NULL);
        calls = test_printf("%sroot", calls);
    } else {
        const redisReadTask *p = task->parent;
        o->parent = p->obj;
        CHECK(o->parent != NULL);
        CHECK_PTR(o->parent->task, p); /* records do not move */
        CHECK_INT(o->parent->depth, depth - 1);
        CHECK(p->elements > task->idx && task->idx >= 0);
        calls = test_printf("%s#%d[%d]/%lld", calls, o->parent->number, task->idx, p->elements);
    }
    if (task->privdata != NULL) calls = test_printf("%s,%s", calls, (char *)task->privdata);
    calls = test_printf("%s ", calls);
    o->next = objects;
    objects = o;
    return o->number == fail_number ? NULL : o;
}

/* Strings lie in the reader's own buffer, where programs move them about. */
static void check_in_buffer(const char *str, size_t len) {
    CHECK(str >= calling->buf && str + len + 2 <= calling->buf + calling->len);
    CHECK_MEM(str + len, 2, "\r\n");
}

static void *object_string(const redisReadTask *task, char *str, size_t len) {
    check_in_buffer(str, len);
    const char *value = test_printf("'%.*s'", (int)len, str);
    if (task->type == REDIS_REPLY_VERB) {
        /* As hiredis-py does: from behind the type, as many bytes as it was told. */
        CHECK(str + len + 4 <= calling->buf + sdsalloc(calling->buf) + 1);
        memmove(str, str + 4, len);
    }
    return object_new(task, 'S', value);
}

static void *object_array(const redisReadTask *task, size_t n) { return object_new(task, 'A', test_printf("%zu", n)); }

static void *object_integer(const redisReadTask *task, long long n) {
    return object_new(task, 'I', test_printf("%lld", n));
}

static void *object_double(const redisReadTask *task, double value, char *str, size_t len) {
    CHECK_INT(str[len], 0);
    CHECK_UINT(strlen(str), len);
    CHECK(str < calling->buf || str > calling->buf + calling->len);
    return object_new(task, 'D', test_printf("%g'%s'", value, str));
}

static void *object_nil(const redisReadTask *task) { return object_new(task, 'N', ""); }
static void *object_bool(const redisReadTask *task, int value) { return object_new(task, 'B', test_printf("%d", value)); }

static void object_free(void *p) {
    struct object *o = p;
    CHECK(o->parent == NULL);
    CHECK(!o->freed);
    o->freed = 1;
    calls = test_printf("%sfree#%d ", calls, o->number);
}

static redisReplyObjectFunctions functions = {object_string, object_array, object_integer, object_double,
                                              object_nil,    object_bool,  object_free};

static redisReader *reader_with(redisReplyObjectFunctions *fn) {
    calling = redisReaderCreateWithFunctions(fn);
    CHECK(calling != NULL);
    CHECK_PTR(calling->fn, fn);
    calls = "";
    objects = NULL;
    object_count = fail_number = 0;
    return calling;
}

/* All constructor calls for the bytes, fed whole or cut. */
static const char *calls_for(const char *bytes, size_t len, size_t cut) {
    redisReader *r = reader_with(&functions);
    void *reply = NULL;
    if (cut > 0) {
        feed(r, bytes, cut);
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
        CHECK_PTR(reply, NULL);
    }
    feed(r, bytes + cut, len - cut);
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK(reply != NULL && ((struct object *)reply)->number == 1);
    redisReaderFree(r);
    return calls;
}
#define CALLS(lit) calls_for(BYTES(lit), 0)

TEST(reader_stream, a_constructor_at_the_root_has_no_parent, "74") {
    CHECK_STR(CALLS("+OK\r\n"), "S5:'OK'@root ");
    CHECK_STR(CALLS("-ERR x\r\n"), "S6:'ERR x'@root ");
    CHECK_STR(CALLS("$3\r\nfoo\r\n"), "S1:'foo'@root ");
    CHECK_STR(CALLS("$0\r\n\r\n"), "S1:''@root ");
    CHECK_STR(CALLS("(123\r\n"), "S13:'123'@root ");
    CHECK_STR(CALLS(":-5\r\n"), "I3:-5@root ");
    CHECK_STR(CALLS(",1.50\r\n"), "D7:1.5'1.50'@root ");
    CHECK_STR(CALLS("#t\r\n"), "B8:1@root ");
    CHECK_STR(CALLS("#F\r\n"), "B8:0@root ");
    CHECK_STR(CALLS("*0\r\n"), "A2:0@root ");
}

TEST(reader_stream, nil_constructors_see_which_type_was_null, "74") {
    CHECK_STR(CALLS("_\r\n"), "N4:@root ");
    CHECK_STR(CALLS("$-1\r\n"), "N1:@root ");
    CHECK_STR(CALLS("=-1\r\n"), "N14:@root ");
    CHECK_STR(CALLS("*-1\r\n"), "N2:@root ");
    CHECK_STR(CALLS("%-1\r\n"), "N9:@root ");
    CHECK_STR(CALLS("~-1\r\n"), "N10:@root ");
    CHECK_STR(CALLS("|-1\r\n"), "N11:@root ");
    CHECK_STR(CALLS(">-1\r\n"), "N12:@root ");
}

TEST(reader_stream, children_see_their_place_and_their_parent, "74") {
    CHECK_STR(CALLS("*3\r\n$3\r\nfoo\r\n*2\r\n:1\r\n*0\r\n+x\r\n"),
              "A2:3@root S1:'foo'@#1[0]/3 A2:2@#1[1]/3 I3:1@#3[0]/2 A2:0@#3[1]/2 S5:'x'@#1[2]/3 ");
    CHECK_STR(CALLS("~2\r\n>1\r\n_\r\n#f\r\n"), "A10:2@root A12:1@#1[0]/2 N4:@#2[0]/1 B8:0@#1[1]/2 ");
}

TEST(reader_stream, maps_announce_twice_their_pairs, "75") {
    CHECK_STR(CALLS("%2\r\n+k\r\n:1\r\n+l\r\n:2\r\n"),
              "A9:4@root S5:'k'@#1[0]/4 I3:1@#1[1]/4 S5:'l'@#1[2]/4 I3:2@#1[3]/4 ");
    CHECK_STR(CALLS("|1\r\n+k\r\n%1\r\n:1\r\n:2\r\n"), "A11:2@root S5:'k'@#1[0]/2 A9:2@#1[1]/2 I3:1@#3[0]/2 I3:2@#3[1]/2 ");
    CHECK_STR(CALLS("%0\r\n"), "A9:0@root ");
}

TEST(reader_stream, a_verbatim_string_reaches_its_constructor_with_the_type, "76") {
    CHECK_STR(CALLS("=8\r\ntxt:abcd\r\n"), "S14:'txt:abcd'@root ");
    CHECK_STR(CALLS("=4\r\ntxt:\r\n"), "S14:'txt:'@root ");
    /* The constructor moved bytes over the end of its string: the next replies are not harmed. */
    CHECK_STR(CALLS("*3\r\n=8\r\ntxt:abcd\r\n$3\r\nfoo\r\n=5\r\nmkd:x\r\n"),
              "A2:3@root S14:'txt:abcd'@#1[0]/3 S1:'foo'@#1[1]/3 S14:'mkd:x'@#1[2]/3 ");
}

TEST(reader_stream, deep_nests_keep_their_records_in_place, "74") {
    /* Each level has an element behind the nest, which is made after the task vector has grown. */
    const char *bytes = repeat("*2\r\n", 200, repeat(":1\r\n", 201, ""));
    calls_for(bytes, strlen(bytes), 0);
    CHECK_INT(object_count, 401);
    CHECK_INT(objects->depth, 1);
}

TEST(reader_stream, cutting_a_reply_does_not_change_the_calls, "67 74") {
    static const char bytes[] = "*4\r\n%1\r\n$3\r\nk\r\n\r\n=7\r\ntxt:a\r\n\r\n,1.5\r\n*2\r\n_\r\n#t\r\n(99\r\n";
    size_t len = sizeof(bytes) - 1;
    const char *want = calls_for(bytes, len, 0);
    for (size_t cut = 1; cut < len; cut++) CHECK_STR(calls_for(bytes, len, cut), want);
}

TEST(reader_stream, tasks_carry_the_privdata_of_their_start, "74 82") {
    static char first[] = "P1", second[] = "P2";
    redisReader *r = reader_with(&functions);
    void *reply;
    redisReaderSetPrivdata(r, first);
    CHECK_PTR(r->privdata, first);
    FEED(r, "*3\r\n:1\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    r->privdata = second;
    FEED(r, "*1\r\n:2\r\n:3\r\n+next\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_STR(calls, "A2:3@root,P1 I3:1@#1[0]/3,P1 A2:1@#1[1]/3,P1 I3:2@#3[0]/1,P2 I3:3@#1[2]/3,P1 ");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_STR(calls + strlen(calls) - 18, " S5:'next'@root,P2 ");
    redisReaderFree(r);
}

TEST(reader_stream, a_reply_nobody_wants_goes_to_free_object_once, "73") {
    redisReader *r = reader_with(&functions);
    FEED(r, "*2\r\n:1\r\n:2\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:2@#1[1]/2 free#1 ");
    redisReaderFree(r);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:2@#1[1]/2 free#1 ");
}

TEST(reader_stream, freeing_the_reader_frees_a_partial_root_once, "78") {
    redisReader *r = reader_with(&functions);
    void *reply;
    FEED(r, "*2\r\n*1\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(reply, NULL);
    CHECK_INT(((struct object *)redisReaderGetObject(r))->number, 1);
    CHECK_STR(calls, "A2:2@root A2:1@#1[0]/2 ");
    redisReaderFree(r);
    CHECK_STR(calls, "A2:2@root A2:1@#1[0]/2 free#1 ");
}

TEST(reader_stream, an_error_frees_a_partial_root_once, "29 78") {
    redisReader *r = reader_with(&functions);
    FEED(r, "*2\r\n:1\r\n@");
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 free#1 ");
    redisReaderFree(r);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 free#1 ");
}

TEST(reader_stream, a_complete_reply_is_the_callers_even_if_the_next_fails, "31 78") {
    redisReader *r = reader_with(&functions);
    void *reply = NULL;
    FEED(r, "+a\r\n@");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK(reply != NULL);
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    redisReaderFree(r);
    CHECK_STR(calls, "S5:'a'@root ");
}

TEST(reader_stream, a_constructor_that_gives_null_is_an_allocation_failure, "77") {
    static const char bytes[] = "*9\r\n+s\r\n:1\r\n$1\r\nb\r\n_\r\n#t\r\n,1.5\r\n(1\r\n=4\r\ntxt:\r\n%1\r\n$-1\r\n*-1\r\n";
    size_t len = sizeof(bytes) - 1;
    calls_for(bytes, len, 0);
    int all = object_count;
    CHECK_INT(all, 12);
    for (int k = 1; k <= all; k++) {
        redisReader *r = reader_with(&functions);
        fail_number = k;
        feed(r, bytes, len);
        check_error_state(r, REDIS_ERR_OOM, "Out of memory");
        CHECK_INT(object_count, k);
        redisReaderFree(r);
        /* The root is freed once, unless it is what was not made. */
        const char *freed = strstr(calls, "free#");
        if (k == 1) CHECK_PTR(freed, NULL);
        else CHECK_STR(freed, "free#1 ");
    }
}

TEST(reader_stream, a_missing_constructor_gives_the_type_number_for_its_type, "72") {
    static const char *const bytes[] = {"$1\r\nx\r\n", "*0\r\n", ":1\r\n", ",1.5\r\n", "_\r\n", "#t\r\n"};
    static const int types[] = {REDIS_REPLY_STRING, REDIS_REPLY_ARRAY, REDIS_REPLY_INTEGER,
                                REDIS_REPLY_DOUBLE, REDIS_REPLY_NIL,   REDIS_REPLY_BOOL};
    for (int missing = 0; missing < 6; missing++) {
        redisReplyObjectFunctions fn = functions;
        switch (missing) {
        case 0: fn.createString = NULL; break;
        case 1: fn.createArray = NULL; break;
        case 2: fn.createInteger = NULL; break;
        case 3: fn.createDouble = NULL; break;
        case 4: fn.createNil = NULL; break;
        case 5: fn.createBool = NULL; break;
        }
        redisReader *r = reader_with(&fn);
        for (int i = 0; i < 6; i++) {
            int made = object_count;
            long value = object_value(r, bytes[i]);
            CHECK_INT(object_count, made + (i != missing));
            if (i == missing) CHECK_INT(value, types[i]);
            else CHECK(value > 14 || value < 0);
        }
        redisReaderFree(r);
    }
}

TEST(reader_stream, string_types_without_a_constructor_have_their_own_numbers, "72") {
    redisReplyObjectFunctions fn = functions;
    fn.createString = NULL;
    fn.createArray = NULL;
    fn.freeObject = NULL;
    redisReader *r = reader_with(&fn);
    CHECK_INT(object_value(r, "+a\r\n"), REDIS_REPLY_STATUS);
    CHECK_INT(object_value(r, "-a\r\n"), REDIS_REPLY_ERROR);
    CHECK_INT(object_value(r, "(1\r\n"), REDIS_REPLY_BIGNUM);
    CHECK_INT(object_value(r, "=4\r\ntxt:\r\n"), REDIS_REPLY_VERB);
    CHECK_INT(object_value(r, "%1\r\n+a\r\n+b\r\n"), REDIS_REPLY_MAP);
    CHECK_INT(object_value(r, "~0\r\n"), REDIS_REPLY_SET);
    CHECK_INT(object_value(r, "$-1\r\n") != REDIS_REPLY_NIL, 1);
    redisReaderFree(r);
    CHECK_STR(calls, "N1:@root ");
}

TEST(reader_stream, without_free_object_discarded_objects_are_dropped, "72 73 78") {
    redisReplyObjectFunctions fn = functions;
    fn.freeObject = NULL;
    redisReader *r = reader_with(&fn);
    FEED(r, "+a\r\n*2\r\n:1\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    CHECK_PTR(r->reply, NULL);
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    redisReaderFree(r);
    CHECK_STR(calls, "S5:'a'@root A2:2@root I3:1@#2[0]/2 ");
}

TEST(reader_stream, the_function_table_is_read_at_each_use, "82") {
    redisReplyObjectFunctions fn = functions;
    redisReader *r = reader_with(NULL);
    void *reply = NULL;
    FEED(r, "+a\r\n*2\r\n:1\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT((intptr_t)reply, 5);
    r->fn = &fn;
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    fn.createString = NULL;
    FEED(r, "+b\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT(((struct object *)reply)->number, 1);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 ");
    fn.freeObject = NULL;
    FEED(r, ":1\r\n:2\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    r->fn = &functions;
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:1@root I3:2@root free#3 ");
    redisReaderFree(r);
}

/* ---- The buffer -------------------------------------------------------------------------------- */

TEST(reader_stream, consumed_bytes_do_not_pile_up, "80") {
    redisReader *r = redisReaderCreate();
    const char *bytes = repeat("+0123456789\r\n", 1000, "");
    size_t fed = strlen(bytes), unread = fed;
    feed(r, bytes, fed);
    for (int i = 0; i < 1000; i++) {
        freeReplyObject(next_reply(r));
        unread -= 13;
        CHECK_UINT(r->len - r->pos, unread);
        CHECK(r->pos < 1024 || r->pos <= unread);
        CHECK_MEM_N(r->buf + r->pos, unread, bytes, unread);
        CHECK_INT(r->buf[r->len], 0);
    }
    CHECK_PTR(next_reply(r), NULL);
    for (int i = 0; i < 10000; i++) {
        /* Always one more that is not complete: the buffer is never empty. */
        FEED(r, "+0123456789\r\n+01");
        freeReplyObject(next_reply(r));
        CHECK_PTR(next_reply(r), NULL);
        FEED(r, "23456789\r\n");
        freeReplyObject(next_reply(r));
    }
    CHECK(sdsalloc(r->buf) < 65536);
    redisReaderFree(r);
}

/* A reader whose buffer is empty but has held n bytes. */
static redisReader *reader_after(size_t n) {
    redisReader *r = redisReaderCreate();
    r->maxbuf = 0;
    const char *bytes = test_printf("$%zu\r\n%s", n, repeat("x", n, "\r\n"));
    feed(r, bytes, strlen(bytes));
    freeReplyObject(next_reply(r));
    CHECK_PTR(next_reply(r), NULL);
    CHECK_UINT(r->len, 0);
    CHECK(sdsavail(r->buf) > n);
    return r;
}

TEST(reader_stream, a_big_idle_buffer_is_dropped_at_the_next_feed, "81") {
    redisReader *r = reader_after(100000);
    size_t room = sdsavail(r->buf);
    r->maxbuf = REDIS_READER_MAX_BUF;
    CHECK_INT(redisReaderFeed(r, NULL, 0), REDIS_OK);
    CHECK_PTR(next_reply(r), NULL);
    CHECK_UINT(sdsavail(r->buf), room);
    FEED(r, "+OK\r\n");
    CHECK(sdsalloc(r->buf) < 1024);
    CHECK_UINT(r->len - r->pos, 5);
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STATUS(reply, "OK");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, maxbuf_is_compared_strictly_with_the_free_room, "81 82") {
    redisReader *r = reader_after(100000);
    char *buf = r->buf;
    size_t room = sdsavail(buf);
    r->maxbuf = room;
    FEED(r, "+a\r\n");
    CHECK_PTR(r->buf, buf);
    CHECK_UINT(sdsalloc(r->buf), room);
    freeReplyObject(next_reply(r));
    redisReaderFree(r);

    r = reader_after(100000);
    r->maxbuf = sdsavail(r->buf) - 1;
    FEED(r, "+a\r\n");
    CHECK(sdsalloc(r->buf) < 1024);
    freeReplyObject(next_reply(r));
    redisReaderFree(r);
}

TEST(reader_stream, with_maxbuf_zero_the_buffer_is_kept, "81 82") {
    alloc_count_begin();
    redisReader *r = reader_after(1000000);
    char *buf = r->buf;
    size_t requests = alloc_total();
    r->fn = NULL;
    for (int i = 0; i < 100; i++) {
        void *reply;
        FEED(r, "+a\r\n");
        CHECK_PTR(r->buf, buf);
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    }
    CHECK_UINT(alloc_total(), requests);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, a_buffer_with_unread_bytes_is_kept, "81") {
    redisReader *r = redisReaderCreate();
    const char *bytes = test_printf("$100000\r\n%s", repeat("x", 100000, "\r\n+a"));
    feed(r, bytes, strlen(bytes));
    freeReplyObject(next_reply(r));
    CHECK_UINT(r->len - r->pos, 2);
    FEED(r, "b\r\n");
    redisReply *reply = next_reply(r);
    CHECK_REPLY_STATUS(reply, "ab");
    freeReplyObject(reply);
    redisReaderFree(r);
}

/* ---- Linear cost -------------------------------------------------------------------------------- */

/* The bytes that the allocator hands out bound what is copied between blocks. Work that copies
 * or scans within a block is bounded by the time limit of the test: were it quadratic, these
 * sizes would take minutes. */

TEST(reader_stream, a_long_line_in_pieces_costs_linear_work, "83") {
    size_t piece = 4096, pieces = 32768; /* 128 MiB */
    const char *x = repeat("x", piece, "");
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    r->fn = NULL;
    void *reply = NULL;
    FEED(r, "+");
    for (size_t i = 0; i < pieces; i++) {
        feed(r, x, piece);
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
        CHECK_PTR(reply, NULL);
    }
    FEED(r, "\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT((intptr_t)reply, REDIS_REPLY_STATUS);
    CHECK(alloc_total_bytes() < 8 * piece * pieces);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, single_bytes_cost_linear_work, "83") {
    size_t len = 3000000;
    static const char *const heads[] = {"+", "$3000000\r\n", "(", ":"};
    for (int i = 0; i < 4; i++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        r->fn = NULL;
        void *reply = NULL;
        feed(r, heads[i], strlen(heads[i]));
        for (size_t k = 0; k < len; k++) {
            CHECK_INT(redisReaderFeed(r, "1", 1), REDIS_OK);
            CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
            CHECK_PTR(reply, NULL);
        }
        FEED(r, "\r\n");
        if (i < 3) {
            CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
            CHECK(reply != NULL);
        } else {
            check_error_state(r, REDIS_ERR_PROTOCOL, "Bad integer value");
        }
        CHECK(alloc_total_bytes() < 16 * len);
        redisReaderFree(r);
        alloc_count_end();
    }
}

TEST(reader_stream, a_full_buffer_is_drained_in_linear_work, "80 83") {
    size_t n = 10000000; /* 50 MB of small replies, fed at once */
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    r->fn = NULL;
    const char *bytes = repeat("+OK\r\n", n, "");
    feed(r, bytes, 5 * n);
    size_t requests = alloc_total();
    for (size_t i = 0; i < n; i++) {
        void *reply = NULL;
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
        CHECK_INT((intptr_t)reply, REDIS_REPLY_STATUS);
    }
    CHECK_UINT(r->len - r->pos, 0);
    CHECK(alloc_total() - requests < 64);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, a_wide_array_is_built_in_linear_work, "83 84") {
    size_t n = 1000000;
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    const char *head = test_printf("*%zu\r\n", n), *bytes = repeat(":1\r\n", 1000, "");
    feed(r, head, strlen(head));
    redisReply *reply = NULL;
    for (size_t i = 0; i < n / 1000; i++) {
        CHECK_PTR(reply, NULL);
        feed(r, bytes, 4000);
        reply = next_reply(r);
    }
    CHECK_REPLY_ARRAY(reply, n);
    CHECK_REPLY_INT(reply->element[n - 1], 1);
    /* One reply of 64 bytes and one slot for each element; the slots may have moved. */
    CHECK(alloc_total_bytes() < n * (64 + 40));
    freeReplyObject(reply);
    redisReaderFree(r);
    alloc_count_end();
}

/* ---- Memory ----------------------------------------------------------------------------------------- */

TEST(reader_stream, an_announced_count_costs_nothing_until_elements_arrive, "84") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "*4294967295\r\n");
    CHECK_PTR(next_reply(r), NULL);
    CHECK(alloc_peak_bytes() < 16384);
    for (int i = 0; i < 1000; i++) {
        FEED(r, ":1\r\n");
        CHECK_PTR(next_reply(r), NULL);
    }
    CHECK(alloc_peak_bytes() < 16384 + 1000 * (64 + 32));
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, nested_announcements_cost_memory_in_proportion_to_their_bytes, "84") {
    static const char *const heads[] = {"*16000\r\n", "%16000\r\n", "~4294967295\r\n", ">4294967295\r\n"};
    for (int i = 0; i < 4; i++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        const char *bytes = repeat(heads[i], 1000, "");
        feed(r, bytes, strlen(bytes));
        CHECK_PTR(next_reply(r), NULL);
        CHECK(alloc_peak_bytes() < 64 * strlen(bytes));
        redisReaderFree(r);
        alloc_count_end();
    }
}

TEST(reader_stream, an_announced_bulk_costs_nothing_until_it_arrives, "84") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "$1073741824\r\nabc");
    CHECK_PTR(next_reply(r), NULL);
    CHECK(alloc_peak_bytes() < 16384);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, every_failing_allocation_is_out_of_memory, "2 5 77") {
    const char *all = all_of_corpus();
    const char *big = test_printf("*2\r\n$2000\r\n%s%s", repeat("x", 2000, "\r\n"), repeat("*1\r\n", 30, ":1\r\n"));
    size_t len = strlen(all), half = len / 2;
    for (int on = 0; on < 2; on++) {
        for (size_t k = 1;; k++) {
            CHECK(k < 2000);
            void *reply = NULL;
            alloc_count_begin();
            if (on) alloc_fail_from(k);
            else alloc_fail_at(k);
            redisReader *r = redisReaderCreate();
            if (r == NULL) {
                CHECK(alloc_failures() > 0);
                alloc_count_end();
                continue;
            }
            int status = redisReaderFeed(r, all, half);
            while (status == REDIS_OK && (status = redisReaderGetReply(r, &reply)) == REDIS_OK && reply != NULL)
                freeReplyObject(reply);
            if (status == REDIS_OK) status = redisReaderFeed(r, all + half, len - half);
            if (status == REDIS_OK) status = redisReaderFeed(r, big, strlen(big));
            while (status == REDIS_OK && (status = redisReaderGetReply(r, &reply)) == REDIS_OK && reply != NULL)
                freeReplyObject(reply);
            size_t failures = alloc_failures();
            alloc_fail_never();
            if (status != REDIS_OK) {
                CHECK(failures > 0);
                check_error_state(r, REDIS_ERR_OOM, "Out of memory");
                CHECK_PTR(r->reply, NULL);
            } else {
                CHECK_UINT(failures, 0);
                CHECK_UINT(r->len - r->pos, 0);
            }
            redisReaderFree(r);
            alloc_count_end();
            if (failures == 0) break;
        }
    }
}

TEST(reader_stream, a_failing_allocation_in_feed_is_an_error_state, "5") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "*2\r\n:1\r\n");
    CHECK_PTR(next_reply(r), NULL);
    const char *x = repeat("x", 100000, "");
    alloc_fail_from(1);
    CHECK_INT(redisReaderFeed(r, x, 100000), REDIS_ERR);
    alloc_fail_never();
    check_error_state(r, REDIS_ERR_OOM, "Out of memory");
    CHECK_PTR(r->reply, NULL);
    redisReaderFree(r);
    alloc_count_end();
}

#endif
