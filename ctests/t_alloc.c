/* The allocator table: that it is used for everything, and that failures are reported. */
#include "test.h"

#if HIREDIS_MAJOR >= 1

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <hiredis/alloc.h>
#include <hiredis/async.h>

static void *no_malloc(size_t size) {
    (void)size;
    return NULL;
}

static void *no_calloc(size_t n, size_t size) {
    (void)n, (void)size;
    return NULL;
}

static void *no_realloc(void *p, size_t size) {
    (void)p, (void)size;
    return NULL;
}

static char *no_strdup(const char *s) {
    (void)s;
    return NULL;
}

/* ---- The table ------------------------------------------------------------------------ */

TEST(alloc, the_table_begins_with_the_c_librarys_functions, "4") {
    CHECK(hiredisAllocFns.mallocFn == malloc);
    CHECK(hiredisAllocFns.callocFn == calloc);
    CHECK(hiredisAllocFns.reallocFn == realloc);
    CHECK(hiredisAllocFns.strdupFn == strdup);
    CHECK(hiredisAllocFns.freeFn == free);
}

TEST(alloc, setting_returns_the_table_before_and_resetting_restores_the_first, "4") {
    hiredisAllocFuncs first = {no_malloc, no_calloc, no_realloc, no_strdup, free};
    hiredisAllocFuncs second = {malloc, no_calloc, realloc, no_strdup, free};
    hiredisAllocFuncs before = hiredisSetAllocators(&first);
    CHECK(before.mallocFn == malloc && before.callocFn == calloc && before.reallocFn == realloc);
    CHECK(before.strdupFn == strdup && before.freeFn == free);
    CHECK_INT(memcmp(&hiredisAllocFns, &first, sizeof(first)), 0);
    before = hiredisSetAllocators(&second);
    CHECK_INT(memcmp(&before, &first, sizeof(first)), 0);
    CHECK_INT(memcmp(&hiredisAllocFns, &second, sizeof(second)), 0);
    hiredisResetAllocators();
    CHECK(hiredisAllocFns.mallocFn == malloc);
    CHECK(hiredisAllocFns.callocFn == calloc);
    CHECK(hiredisAllocFns.reallocFn == realloc);
    CHECK(hiredisAllocFns.strdupFn == strdup);
    CHECK(hiredisAllocFns.freeFn == free);
}

TEST(alloc, the_table_given_may_change_afterwards, "4") {
    hiredisAllocFuncs table = {no_malloc, no_calloc, no_realloc, no_strdup, free};
    hiredisSetAllocators(&table);
    memset(&table, 0, sizeof(table));
    CHECK(hi_malloc(1) == NULL);
    CHECK_PTR(redisReaderCreate(), NULL);
}

TEST(alloc, a_member_that_is_null_leaves_the_function_that_was_there, "4") {
    hiredisAllocFuncs table = {.mallocFn = no_malloc};
    hiredisAllocFuncs before = hiredisSetAllocators(&table);
    CHECK(before.mallocFn == malloc);
    CHECK(hiredisAllocFns.mallocFn == no_malloc);
    CHECK(hiredisAllocFns.callocFn == calloc && hiredisAllocFns.reallocFn == realloc);
    CHECK(hiredisAllocFns.strdupFn == strdup && hiredisAllocFns.freeFn == free);
    CHECK_PTR(redisReaderCreate(), NULL);
    hiredisResetAllocators();
    CHECK(hiredisAllocFns.mallocFn == malloc);
}

TEST(alloc, the_exported_table_is_what_the_library_reads, "4") {
    CHECK_UINT(sizeof(hiredisAllocFns), 40);
    hiredisAllocFns.mallocFn = no_malloc;
    hiredisAllocFns.callocFn = no_calloc;
    CHECK_PTR(redisReaderCreate(), NULL);
    hiredisAllocFns.mallocFn = malloc;
    hiredisAllocFns.callocFn = calloc;
    redisReader *r = redisReaderCreate();
    CHECK(r != NULL);
    redisReaderFree(r);
}

static int wrapper_calls;

static void *seen_malloc(size_t size) { return wrapper_calls |= 1, malloc(size); }
static void *seen_calloc(size_t n, size_t size) { return wrapper_calls |= 2, calloc(n, size); }
static void *seen_realloc(void *p, size_t size) { return wrapper_calls |= 4, realloc(p, size); }
static char *seen_strdup(const char *s) { return wrapper_calls |= 8, strdup(s); }
static void seen_free(void *p) { wrapper_calls |= 16, free(p); }

TEST(alloc, the_inline_wrappers_call_through_the_table, "4") {
    hiredisAllocFuncs table = {seen_malloc, seen_calloc, seen_realloc, seen_strdup, seen_free};
    hiredisSetAllocators(&table);
    void *p = hi_malloc(3);
    CHECK_INT(wrapper_calls, 1);
    p = hi_realloc(p, 30);
    CHECK_INT(wrapper_calls, 5);
    hi_free(p);
    CHECK_INT(wrapper_calls, 21);
    int *zeroed = hi_calloc(10, sizeof(int));
    CHECK_INT(wrapper_calls, 23);
    for (int i = 0; i < 10; i++) CHECK_INT(zeroed[i], 0);
    hi_free(zeroed);
    char *copy = hi_strdup("text");
    CHECK_INT(wrapper_calls, 31);
    CHECK_STR(copy, "text");
    hi_free(copy);
}

static char copied[200];

static char *noting_strdup(const char *s) {
    strcat(strcat(copied, s), " ");
    return strdup(s);
}

TEST(alloc, addresses_are_copied_by_strdup, "4 108") {
    hiredisAllocFuncs table = {malloc, calloc, realloc, noting_strdup, free};
    hiredisSetAllocators(&table);
    redisFree(redisConnectBindNonBlock("127.0.0.1", live_port(), "127.0.0.2"));
    redisFree(redisConnectUnix("/no/such/path"));
    CHECK(strstr(copied, "127.0.0.1 ") != NULL);
    CHECK(strstr(copied, "127.0.0.2 ") != NULL);
    CHECK(strstr(copied, "/no/such/path ") != NULL);
}

static int insecure_calls;

static void *insecure_calloc(size_t n, size_t size) {
    insecure_calls++;
    return malloc(n * size);
}

TEST(alloc, an_overflowing_product_never_reaches_calloc, "3") {
    hiredisAllocFuncs table = {malloc, insecure_calloc, realloc, strdup, free};
    hiredisSetAllocators(&table);
    CHECK(hi_calloc(SIZE_MAX / sizeof(void *) + 3, sizeof(void *)) == NULL);
    CHECK(hi_calloc(2, SIZE_MAX / 2 + 1) == NULL);
    CHECK(hi_calloc(SIZE_MAX, SIZE_MAX) == NULL);
    CHECK(hi_calloc(SIZE_MAX, 2) == NULL);
    CHECK_INT(insecure_calls, 0);
    void *p = hi_calloc(4, 8);
    CHECK(p != NULL);
    CHECK_INT(insecure_calls, 1);
    hi_free(p);
}

TEST(alloc, a_size_of_zero_is_no_overflow, "3") {
    hi_free(hi_calloc(10, 0));
    hi_free(hi_calloc(0, 10));
    hi_free(hi_calloc(SIZE_MAX / 4, 0));
}

TEST(alloc, an_array_whose_size_overflows_is_out_of_memory_without_calloc, "3 36") {
    hiredisAllocFuncs table = {malloc, insecure_calloc, realloc, strdup, free};
    redisReader *r = redisReaderCreate();
    void *reply;
    hiredisSetAllocators(&table);
    r->maxelements = 0;
    const char *bytes = test_printf("*%zu\r\n+asdf\r\n", SIZE_MAX / sizeof(void *) + 3);
    CHECK_INT(redisReaderFeed(r, bytes, strlen(bytes)), REDIS_OK);
    CHECK_INT(redisReaderGetReply(r, &reply), REDIS_ERR);
    CHECK_INT(r->err, REDIS_ERR_OOM);
    CHECK_STR(r->errstr, "Out of memory");
    hiredisResetAllocators();
    redisReaderFree(r);
}

/* ---- Nothing to be had ---------------------------------------------------------------------- */

TEST(alloc, without_memory_there_is_no_context, "1") {
    hiredisAllocFuncs table = {no_malloc, no_calloc, no_realloc, strdup, free};
    hiredisSetAllocators(&table);
    CHECK_PTR(redisConnect("127.0.0.1", live_port()), NULL);
    CHECK_PTR(redisConnectUnix(live_unix()), NULL);
    CHECK_PTR(redisConnectNonBlock("127.0.0.1", live_port()), NULL);
    CHECK_PTR(redisConnectFd(0), NULL);
    CHECK_PTR(redisAsyncConnect("127.0.0.1", live_port()), NULL);
    CHECK_PTR(redisAsyncConnectUnix(live_unix()), NULL);
}

TEST(alloc, without_memory_there_is_no_reader, "2") {
    hiredisAllocFuncs table = {no_malloc, no_calloc, no_realloc, strdup, free};
    hiredisSetAllocators(&table);
    CHECK_PTR(redisReaderCreate(), NULL);
    CHECK_PTR(redisReaderCreateWithFunctions(NULL), NULL);
}

/* ---- Every single failure -------------------------------------------------------------------- */

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* Connects, sends a command, frees, with the k-th allocation failing (and, if `on`, all after it).
 * Returns 0 when there was no k-th. */
static int command_with_failure(int tcp, size_t k, int on) {
    int descriptors = open_descriptors();
    alloc_count_begin();
    if (on) alloc_fail_from(k);
    else alloc_fail_at(k);
    redisContext *c = tcp ? redisConnect("127.0.0.1", live_port()) : redisConnectUnix(live_unix());
    if (c != NULL) {
        redisReply *reply = NULL;
        if (c->err == 0) reply = redisCommand(c, "LRANGE %s 0 %d", "alloc:list", 9);
        if (reply != NULL) {
            CHECK_REPLY_ARRAY(reply, 3);
            freeReplyObject(reply);
        } else {
            CHECK(alloc_failures() > 0);
            CHECK_INT(c->err, REDIS_ERR_OOM);
            CHECK_STR(c->errstr, "Out of memory");
        }
        redisFree(c);
    } else {
        CHECK(alloc_failures() > 0);
    }
    int failed = alloc_failures() > 0;
    alloc_fail_never();
    alloc_count_end();
    CHECK_INT(open_descriptors(), descriptors);
    return failed;
}

TEST(alloc, every_failing_allocation_of_a_command_is_reported, "5 6") {
    redisContext *c = redisConnectUnix(live_unix());
    freeReplyObject(redisCommand(c, "DEL alloc:list"));
    freeReplyObject(redisCommand(c, "RPUSH alloc:list one two three"));
    redisFree(c);
    for (int tcp = 0; tcp < 2; tcp++) {
        for (int on = 0; on < 2; on++) {
            size_t k = 1;
            while (command_with_failure(tcp, k, on)) CHECK(++k < 500);
            CHECK(k > 5);
        }
    }
}

/* ---- Balance ------------------------------------------------------------------------------------ */

static int reply_calls, null_calls;

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata) {
    (void)ac, (void)privdata;
    reply_calls++;
    null_calls += reply == NULL;
}

TEST(alloc, contexts_and_readers_give_everything_back, "6") {
    alloc_count_begin();
    redisContext *c = redisConnect("127.0.0.1", live_port());
    CHECK_INT(c->err, 0);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(redisAppendCommand(c, "ECHO %s", &"some text of a length that varies"[i % 20]), REDIS_OK);
    }
    for (int i = 0; i < 50; i++) {
        void *reply = NULL;
        CHECK_INT(redisGetReply(c, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    redisFree(c); /* with replies unread */
    CHECK_UINT(alloc_live(), 0);

    redisReader *r = redisReaderCreate();
    CHECK_INT(redisReaderFeed(r, "*2\r\n$3\r\nfoo\r\n", 13), REDIS_OK);
    CHECK_INT(redisReaderGetReply(r, NULL), REDIS_OK);
    redisReaderFree(r);
    CHECK_UINT(alloc_live(), 0);

    redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
    CHECK_INT(ac->err, 0);
    for (int i = 0; i < 10; i++) CHECK_INT(redisAsyncCommand(ac, on_reply, NULL, "PING"), REDIS_OK);
    CHECK_INT(redisAsyncCommand(ac, on_reply, NULL, "SUBSCRIBE a b c"), REDIS_OK);
    redisAsyncFree(ac);
    CHECK(null_calls >= 10);
    alloc_count_end();
}

static size_t queued(const redisAsyncContext *ac) {
    size_t n = 0;
    for (const redisCallback *cb = ac->replies.head; cb != NULL; cb = cb->next) n++;
    return n;
}

TEST(alloc, an_async_command_that_cannot_be_queued_registers_nothing, "7") {
    static char value[100001];
    memset(value, 'v', sizeof(value) - 1);
    for (size_t k = 1;; k++) {
        CHECK(k < 100);
        alloc_count_begin();
        redisAsyncContext *ac = redisAsyncConnectUnix(live_unix());
        CHECK_INT(ac->err, 0);
        reply_calls = null_calls = 0;
        CHECK_INT(redisAsyncCommand(ac, on_reply, NULL, "PING"), REDIS_OK);
        size_t before = queued(ac), unsent = sdslen(ac->c.obuf);
        CHECK_UINT(before, 1);
        alloc_fail_at(k);
        int status = redisAsyncCommand(ac, on_reply, NULL, "SET alloc:key %s", value);
        size_t failures = alloc_failures();
        alloc_fail_never();
        if (failures > 0) {
            CHECK_INT(status, REDIS_ERR);
            CHECK_UINT(queued(ac), before);
            CHECK_UINT(sdslen(ac->c.obuf), unsent);
            CHECK(ac->c.err == 0 || ac->c.err == REDIS_ERR_OOM);
        } else {
            CHECK_INT(status, REDIS_OK);
            CHECK_UINT(queued(ac), before + 1);
        }
        redisAsyncFree(ac);
        CHECK_INT(reply_calls, failures > 0 ? 1 : 2);
        alloc_count_end();
        if (failures == 0) break;
    }
}

#endif
