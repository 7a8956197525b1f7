/* Reply objects of the program's own: what the constructors are told, and when. */
#include "fake.h"
#include "reading.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hiredis/sds.h>

/* ---- Types instead of objects --------------------------------------------------------------- */

/* The pointer value that comes back for the bytes. */
static long object_value(redisReader *r, const char *bytes) {
    void *reply = NULL;
    feed(r, bytes, strlen(bytes));
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(r->reply, NULL);
    return (long)(intptr_t)reply;
}

TEST(reader_objects, without_functions_a_reply_is_its_type_number, "70") {
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

TEST_1X(reader_objects, without_functions_every_resp3_type_has_its_number, "70") {
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

TEST(reader_objects, without_functions_a_line_may_come_apart, "71") {
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

TEST(reader_objects, without_functions_a_half_read_reply_is_forgotten, "70 78") {
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

static void *object_array(const redisReadTask *task, size_t n) {
    return object_new(task, 'A', test_printf("%zu", n));
}

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
static void *object_bool(const redisReadTask *task, int value) {
    return object_new(task, 'B', test_printf("%d", value));
}

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

TEST(reader_objects, a_constructor_at_the_root_has_no_parent, "74") {
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

TEST(reader_objects, nil_constructors_see_which_type_was_null, "74") {
    CHECK_STR(CALLS("_\r\n"), "N4:@root ");
    CHECK_STR(CALLS("$-1\r\n"), "N1:@root ");
    CHECK_STR(CALLS("=-1\r\n"), "N14:@root ");
    CHECK_STR(CALLS("*-1\r\n"), "N2:@root ");
    CHECK_STR(CALLS("%-1\r\n"), "N9:@root ");
    CHECK_STR(CALLS("~-1\r\n"), "N10:@root ");
    CHECK_STR(CALLS("|-1\r\n"), "N11:@root ");
    CHECK_STR(CALLS(">-1\r\n"), "N12:@root ");
}

TEST(reader_objects, children_see_their_place_and_their_parent, "74") {
    CHECK_STR(CALLS("*3\r\n$3\r\nfoo\r\n*2\r\n:1\r\n*0\r\n+x\r\n"),
              "A2:3@root S1:'foo'@#1[0]/3 A2:2@#1[1]/3 I3:1@#3[0]/2 A2:0@#3[1]/2 S5:'x'@#1[2]/3 ");
    CHECK_STR(CALLS("~2\r\n>1\r\n_\r\n#f\r\n"), "A10:2@root A12:1@#1[0]/2 N4:@#2[0]/1 B8:0@#1[1]/2 ");
}

TEST(reader_objects, maps_announce_twice_their_pairs, "75") {
    CHECK_STR(CALLS("%2\r\n+k\r\n:1\r\n+l\r\n:2\r\n"),
              "A9:4@root S5:'k'@#1[0]/4 I3:1@#1[1]/4 S5:'l'@#1[2]/4 I3:2@#1[3]/4 ");
    CHECK_STR(CALLS("|1\r\n+k\r\n%1\r\n:1\r\n:2\r\n"),
              "A11:2@root S5:'k'@#1[0]/2 A9:2@#1[1]/2 I3:1@#3[0]/2 I3:2@#3[1]/2 ");
    CHECK_STR(CALLS("%0\r\n"), "A9:0@root ");
}

TEST(reader_objects, a_verbatim_string_reaches_its_constructor_with_the_type, "76") {
    CHECK_STR(CALLS("=8\r\ntxt:abcd\r\n"), "S14:'txt:abcd'@root ");
    CHECK_STR(CALLS("=4\r\ntxt:\r\n"), "S14:'txt:'@root ");
    /* The constructor moved bytes over the end of its string: the next replies are not harmed. */
    CHECK_STR(CALLS("*3\r\n=8\r\ntxt:abcd\r\n$3\r\nfoo\r\n=5\r\nmkd:x\r\n"),
              "A2:3@root S14:'txt:abcd'@#1[0]/3 S1:'foo'@#1[1]/3 S14:'mkd:x'@#1[2]/3 ");
}

TEST(reader_objects, deep_nests_keep_their_records_in_place, "74") {
    /* Each level has an element behind the nest, which is made after the task vector has grown. */
    const char *bytes = repeat("*2\r\n", 200, repeat(":1\r\n", 201, ""));
    calls_for(bytes, strlen(bytes), 0);
    CHECK_INT(object_count, 401);
    CHECK_INT(objects->depth, 1);
}

TEST(reader_objects, cutting_a_reply_does_not_change_the_calls, "67 74") {
    static const char bytes[] =
        "*4\r\n%1\r\n$3\r\nk\r\n\r\n=7\r\ntxt:a\r\n\r\n,1.5\r\n*2\r\n_\r\n#t\r\n(99\r\n";
    size_t len = sizeof(bytes) - 1;
    const char *want = calls_for(bytes, len, 0);
    for (size_t cut = 1; cut < len; cut++) CHECK_STR(calls_for(bytes, len, cut), want);
}

TEST(reader_objects, tasks_carry_the_privdata_of_their_start, "74 82") {
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
    CHECK_STR(calls + strlen(calls) - 18, "S5:'next'@root,P2 ");
    /* Two bytes are a start as well. */
    FEED(r, "+O");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_INT(r->ridx, 0);
    r->privdata = first;
    FEED(r, "K\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_STR(calls + strlen(calls) - 16, "S5:'OK'@root,P2 ");
    redisReaderFree(r);
}

#if HIREDIS_MAJOR >= 1
/* Unlike hiredis, which makes nine with the reader. */
TEST(reader_objects, tasks_are_made_when_they_are_needed, "74") {
    redisReader *r = redisReaderCreate();
    for (int i = 0; i < 2; i++) {
        FEED(r, "*2\r\n*1\r\n+a\r\n%1\r\n:1\r\n:2\r\n");
        freeReplyObject(read_reply(r));
        FEED(r, "*7\r\n$-1\r\n*0\r\n%0\r\n_\r\n#t\r\n:-1\r\n,1.5\r\n");
        freeReplyObject(read_reply(r));
        static const char *const bare[] = {"$-1\r\n", "_\r\n", "#f\r\n", "*0\r\n", "~0\r\n"};
        for (size_t k = 0; k < sizeof bare / sizeof *bare; k++) {
            feed(r, bare[k], strlen(bare[k]));
            freeReplyObject(read_reply(r));
        }
        CHECK_INT(r->tasks, 0);
        CHECK_PTR(r->task, NULL);
    }
    void *reply;
    FEED(r, "*2\r\n*1\r\n");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK_PTR(reply, NULL);
    CHECK_INT(r->ridx, 2);
    CHECK(r->tasks > 2);
    CHECK_PTR(r->task[2]->parent, r->task[1]);
    CHECK_INT(r->task[1]->type, REDIS_REPLY_ARRAY);
    CHECK_INT(r->task[1]->elements, 1);
    CHECK_INT(r->task[1]->idx, 0);
    CHECK_PTR(r->task[0]->obj, r->reply);
    FEED(r, "+a\r\n+b\r\n");
    freeReplyObject(read_reply(r));
    redisReaderFree(r);
}
#endif

TEST(reader_objects, a_reply_nobody_wants_goes_to_free_object_once, "73") {
    redisReader *r = reader_with(&functions);
    FEED(r, "*2\r\n:1\r\n:2\r\n");
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:2@#1[1]/2 free#1 ");
    redisReaderFree(r);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:2@#1[1]/2 free#1 ");
}

TEST(reader_objects, without_a_complete_reply_nothing_is_freed, "73") {
    static const char *const beginnings[] = {
        "", "+ab", "$5\r\nab", "$5", "*2\r\n:1\r\n", "*1\r\n*1\r\n", "%1\r\n+k\r\n",
    };
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        redisReader *r = reader_with(&functions);
        feed(r, beginnings[i], strlen(beginnings[i]));
        /* object_free takes no NULL. */
        for (int k = 0; k < 3; k++) CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
        CHECK(strstr(calls, "free") == NULL);
        redisReaderFree(r);
    }
}

TEST(reader_objects, freeing_the_reader_frees_a_partial_root_once, "78") {
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

TEST(reader_objects, an_error_frees_a_partial_root_once, "29 78") {
    redisReader *r = reader_with(&functions);
    FEED(r, "*2\r\n:1\r\n@");
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 free#1 ");
    redisReaderFree(r);
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 free#1 ");
}

TEST(reader_objects, a_complete_reply_is_the_callers_even_if_the_next_fails, "31 78") {
    redisReader *r = reader_with(&functions);
    void *reply = NULL;
    FEED(r, "+a\r\n@");
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
    CHECK(reply != NULL);
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    redisReaderFree(r);
    CHECK_STR(calls, "S5:'a'@root ");
}

TEST(reader_objects, a_constructor_that_gives_null_is_an_allocation_failure, "77") {
    static const char bytes[] =
        "*9\r\n+s\r\n:1\r\n$1\r\nb\r\n_\r\n#t\r\n,1.5\r\n(1\r\n=4\r\ntxt:\r\n%1\r\n$-1\r\n*-1\r\n";
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

TEST(reader_objects, a_missing_constructor_gives_the_type_number_for_its_type, "72") {
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

TEST(reader_objects, string_types_without_a_constructor_have_their_own_numbers, "72") {
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

TEST(reader_objects, without_free_object_discarded_objects_are_dropped, "72 73 78") {
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

TEST(reader_objects, the_function_table_is_read_at_each_use, "82") {
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
    CHECK_STR(calls, "A2:2@root I3:1@#1[0]/2 I3:1@root I3:2@root free#4 ");
    redisReaderFree(r);
}

/* Programs move a verbatim string's text over its type and copy as many bytes as they were told. */
static volatile unsigned char beyond;
static int strings_seen;

static void *four_beyond(const redisReadTask *task, char *str, size_t len) {
    (void)task;
    CHECK(str >= calling->buf && str + len + 4 <= calling->buf + sdsalloc(calling->buf) + 1);
    for (int i = 0; i < 4; i++) beyond = (unsigned char)str[len + (size_t)i];
    strings_seen++;
    return &strings_seen;
}

static redisReplyObjectFunctions beyond_functions = {four_beyond, NULL, NULL, NULL, NULL, NULL, NULL};

static const char *string_of(char type, size_t n) {
    const char *text = repeat("a", n, "");
    if (type == '=') return test_printf("=%zu\r\ntxt:%s\r\n", n + 4, text);
    if (type == '$') return test_printf("$%zu\r\n%s\r\n", n, text);
    return test_printf("%c%s\r\n", type, type == '(' ? repeat("1", n + 1, "") : text);
}

TEST(reader_objects, four_bytes_behind_a_strings_text_can_be_read, "76") {
    static const char types[] = "=$+-(";
    for (size_t n = 0; n < 700; n += n < 300 ? 1 : 7) {
        const char *bytes = string_of(types[n % 5], n);
        size_t len = strlen(bytes), pieces[] = {1, 7, len - 1, len};
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
            calling = redisReaderCreateWithFunctions(&beyond_functions);
            strings_seen = 0;
            for (size_t at = 0; at < len; at += pieces[i])
                feed(calling, bytes + at, len - at < pieces[i] ? len - at : pieces[i]);
            void *reply = NULL;
            CHECK_INT(redisReaderGetReply(calling, &reply), REDIS_OK);
            CHECK_PTR(reply, &strings_seen);
            CHECK_INT(strings_seen, 1);
            redisReaderFree(calling);
        }
    }
    /* Every length as the only content of a new buffer, of each kind. */
    for (size_t n = 0; n < 140; n++) {
        for (const char *type = types; *type != '\0'; type++) {
            const char *bytes = string_of(*type, n);
            void *reply = NULL;
            calling = redisReaderCreateWithFunctions(&beyond_functions);
            for (size_t at = 0; bytes[at] != '\0'; at++) feed(calling, bytes + at, 1);
            CHECK_INT(redisReaderGetReply(calling, &reply), REDIS_OK);
            CHECK_PTR(reply, &strings_seen);
            redisReaderFree(calling);
        }
    }
}

/* A text may end wherever a read does: then it is the room behind the buffer that counts. */
TEST(reader_objects, four_bytes_behind_a_text_received_by_a_context_can_be_read, "76") {
    size_t len = 8 << 20, sent = 0;
    const char *text = repeat("a", len, "");
    for (int type = 0; type < 2; type++) {
        int fd[2], big = 1 << 20, full = 0;
        void *reply = NULL;
        hand_pair(fd);
        CHECK_INT(setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big)), 0);
        redisContext *c = redisConnectFd(fd[0]);
        CHECK_INT(c->err, 0);
        c->reader->fn = &beyond_functions;
        hand_send_str(fd[1], type == 0 ? "+" : "=8388612\r\ntxt:");
        for (sent = 0; sent < len;) {
            ssize_t n = send(fd[1], text + sent, len - sent, MSG_DONTWAIT);
            if (n > 0) sent += (size_t)n;
            CHECK_INT(redisBufferRead(c), REDIS_OK);
            CHECK_INT(redisReaderGetReply(c->reader, &reply), REDIS_OK);
            CHECK_PTR(reply, NULL);
            CHECK(sdsavail(c->reader->buf) >= 1);
            full += sdsavail(c->reader->buf) == 1;
        }
        /* It did happen that a read filled all the room there was. */
        CHECK(full > 0);
        hand_send_str(fd[1], "\r\n");
        while (reply == NULL) {
            CHECK_INT(redisBufferRead(c), REDIS_OK);
            calling = c->reader;
            CHECK_INT(redisReaderGetReply(c->reader, &reply), REDIS_OK);
        }
        CHECK_PTR(reply, &strings_seen);
        redisFree(c);
        close(fd[1]);
    }
}

/* ---- The default constructors in a program's table ---------------------------------------------- */

static redisReplyObjectFunctions defaults;
static int borrowed_calls;

static void *borrowed_string(const redisReadTask *task, char *str, size_t len) {
    borrowed_calls++;
    return defaults.createString(task, str, len);
}

static void *borrowed_array(const redisReadTask *task, size_t n) {
    borrowed_calls++;
    return defaults.createArray(task, n);
}

TEST(reader_objects, the_default_constructors_work_in_a_table_of_the_program, "65 82") {
    static const char bytes[] =
        "*7\r\n$3\r\nfoo\r\n%1\r\n+k\r\n*0\r\n,1.5\r\n=5\r\ntxt:x\r\n#t\r\n_\r\n~1\r\n:7\r\n";
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    defaults = *r->fn;
    CHECK(defaults.createString != NULL && defaults.createArray != NULL && defaults.createInteger != NULL);
    CHECK(defaults.createDouble != NULL && defaults.createNil != NULL && defaults.createBool != NULL);
    CHECK(defaults.freeObject == freeReplyObject);
    redisReplyObjectFunctions own = defaults;
    own.createString = borrowed_string;
    own.createArray = borrowed_array;
    r->fn = &own;
    for (size_t cut = 0; cut < sizeof(bytes) - 1; cut++) {
        borrowed_calls = 0;
        if (cut > 0) {
            feed(r, bytes, cut);
            CHECK_PTR(read_reply(r), NULL);
        }
        feed(r, bytes + cut, sizeof(bytes) - 1 - cut);
        redisReply *reply = read_reply(r);
        CHECK_STR(reply_text(reply), "*[\"foo\" %[+k *[]] ,1.5 =txt:\"x\" #t nil ~[:7]]");
        CHECK_INT(borrowed_calls, 7);
        freeReplyObject(reply);
    }
    /* A half-read reply is freed with its empty slots. */
    feed(r, bytes, 30);
    CHECK_PTR(read_reply(r), NULL);
    redisReaderFree(r);
    alloc_count_end();
}

#endif
