/* The harness of the C suite: how a test is written, what it may check, and the
 * allocator that counts. README.md says how to run it.
 *
 *     TEST(reader, an_empty_bulk_has_a_string, "63") {
 *         redisReply *r = ...;
 *         CHECK_INT(r->len, 0);
 *         freeReplyObject(r);
 *     }
 *
 * Each test runs in a process of its own, so a crash or a hang is one failure.
 * The first check that fails ends the test. */
#ifndef HIREDIS_RS_TEST_H
#define HIREDIS_RS_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

/* ---- Registering tests ----------------------------------------------------
 *
 * TEST(group, name, items): `name` says what is required, `items` lists the
 * numbers of requirements.txt that it covers ("44 45"), or is "".
 *
 * The suite also builds against an original hiredis 0.14, to see whether the
 * original agrees with the tests. TEST_1X is a test that compiles there but asks
 * for something newer: it is skipped. Tests that do not even compile there stand
 * between `#if HIREDIS_MAJOR >= 1` and `#endif`; ctests/run reports those as
 * skipped too. Keep "TEST" at the start of the line: ctests/run looks for it. */

struct test {
    const char *group, *name, *items, *file, *skip;
    int line;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *t);

#define TEST_DEFINE(group, name, items, skip)                                                   \
    static void test_##group##_##name(void);                                                    \
    __attribute__((constructor)) static void test_register_##group##_##name(void) {             \
        static struct test t = {#group, #name, items, __FILE__, skip, __LINE__,                 \
                                test_##group##_##name, NULL};                                   \
        test_register(&t);                                                                      \
    }                                                                                           \
    static void test_##group##_##name(void)

#define TEST(group, name, items) TEST_DEFINE(group, name, items, NULL)

#if HIREDIS_MAJOR >= 1
#define TEST_1X(group, name, items) TEST_DEFINE(group, name, items, NULL)
#else
#define TEST_1X(group, name, items) TEST_DEFINE(group, name, items, "needs hiredis 1.x")
#endif

/* ---- Checks ---------------------------------------------------------------
 *
 * They may be used in functions called by a test as well. After a failure the
 * rest of the test is not run, nothing needs to be cleaned up. In a process that
 * a test forks itself they do not work: report by exit status there. */

__attribute__((noreturn, format(printf, 3, 4)))
void test_fail(const char *file, int line, const char *fmt, ...);
__attribute__((noreturn)) void test_skip(const char *reason);
void test_check_int(const char *file, int line, const char *expr, long long got, long long want);
void test_check_uint(const char *file, int line, const char *expr, unsigned long long got,
                     unsigned long long want);
void test_check_str(const char *file, int line, const char *expr, const char *got, const char *want);
void test_check_mem(const char *file, int line, const char *expr, const void *got, size_t gotlen,
                    const void *want, size_t wantlen);

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
/* Only when the environment lacks something, never because a thing is not done. */
#define SKIP(reason) test_skip(reason)

#define CHECK(cond)                                                                             \
    do {                                                                                        \
        if (!(cond)) test_fail(__FILE__, __LINE__, "not true: %s", #cond);                      \
    } while (0)
#define CHECK_INT(got, want) test_check_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK_UINT(got, want)                                                                   \
    test_check_uint(__FILE__, __LINE__, #got, (unsigned long long)(got), (unsigned long long)(want))
#define CHECK_PTR(got, want)                                                                    \
    test_check_uint(__FILE__, __LINE__, #got, (uintptr_t)(got), (uintptr_t)(want))
/* C strings; NULL equals only NULL. */
#define CHECK_STR(got, want) test_check_str(__FILE__, __LINE__, #got, got, want)
/* `lit` is a string literal and may contain NULs. */
#define CHECK_MEM(got, gotlen, lit)                                                             \
    test_check_mem(__FILE__, __LINE__, #got, got, (size_t)(gotlen), "" lit, sizeof(lit) - 1)
#define CHECK_MEM_N(got, gotlen, want, wantlen)                                                 \
    test_check_mem(__FILE__, __LINE__, #got, got, (size_t)(gotlen), want, (size_t)(wantlen))

/* Replies. The text comparisons include the length and the NUL behind it. */
void test_check_reply(const char *file, int line, const char *expr, const void *reply, int type,
                      const char *text, size_t len);
void test_check_reply_int(const char *file, int line, const char *expr, const void *reply, int type,
                          long long value);
void test_check_reply_elements(const char *file, int line, const char *expr, const void *reply, int type,
                               size_t elements);

#define CHECK_REPLY(reply, type, lit)                                                           \
    test_check_reply(__FILE__, __LINE__, #reply, reply, type, "" lit, sizeof(lit) - 1)
#define CHECK_REPLY_STRING(reply, lit) CHECK_REPLY(reply, REDIS_REPLY_STRING, lit)
#define CHECK_REPLY_STATUS(reply, lit) CHECK_REPLY(reply, REDIS_REPLY_STATUS, lit)
#define CHECK_REPLY_ERROR(reply, lit) CHECK_REPLY(reply, REDIS_REPLY_ERROR, lit)
#define CHECK_REPLY_INT(reply, value)                                                           \
    test_check_reply_int(__FILE__, __LINE__, #reply, reply, REDIS_REPLY_INTEGER, value)
#define CHECK_REPLY_NIL(reply)                                                                  \
    test_check_reply_int(__FILE__, __LINE__, #reply, reply, REDIS_REPLY_NIL, 0)
/* `type` is ARRAY, MAP, SET, ATTR or PUSH; maps count keys and values. */
#define CHECK_REPLY_ELEMENTS(reply, type, n)                                                    \
    test_check_reply_elements(__FILE__, __LINE__, #reply, reply, type, n)
#define CHECK_REPLY_ARRAY(reply, n) CHECK_REPLY_ELEMENTS(reply, REDIS_REPLY_ARRAY, n)

/* ---- Texts that live until the test ends ---------------------------------- */

__attribute__((format(printf, 1, 2))) char *test_printf(const char *fmt, ...);

/* A block from malloc that lives until the test ends. */
void *test_bytes(size_t size);

/* The whole reply as one line, so that trees are compared by CHECK_STR:
 * "NULL", nil as "nil", :1, +OK, -ERR text, "bulk", *[..], %[..], ~[..], >[..],
 * |[..], #t, #f, ,1.5, (123, =txt:"..."; bytes that cannot be shown as \xHH. */
const char *reply_text(const void *reply);

/* ---- The environment ------------------------------------------------------
 *
 * ctests/run starts one private redis-server and sets the variables; without
 * them live_unix() and live_port() fail the test. */

const char *live_unix(void);  /* path of the server's unix socket */
int live_port(void);          /* its port on 127.0.0.1 */
const char *test_tmp(void);   /* a directory for the test's own files and sockets */
double test_now(void);        /* seconds on the monotonic clock */
void test_sleep_ms(int ms);
void test_may_take(double seconds); /* instead of 30; for tests of gigabytes */

/* Sets a locale whose decimal point is a comma, and skips the test when the machine
 * has none and cannot make one. */
void test_comma_locale(void);

/* Pseudo random numbers, the same in every run unless TEST_SEED is set. */
unsigned test_seed(void);
uint32_t test_random(void);
#define test_random_below(n) (test_random() % (uint32_t)(n))

/* ---- The allocator that counts --------------------------------------------
 *
 * alloc_count_begin() puts counting functions into the library's allocator table.
 * A free of a block that did not come from them since then, or twice, fails the
 * test, as does a request of zero bytes, so begin before the first object is made.
 * New blocks are filled with 0xa5 and freed ones with 0x5a. A test that ends while
 * counting is on need not switch it off; alloc_count_end() does so and fails if a
 * block is still live.
 *
 * With hiredis 0.14, which has no table, the first three do nothing and the
 * others do not exist. */

void alloc_count_begin(void);
void alloc_count_end(void);
size_t alloc_live(void);         /* blocks that are allocated and not freed */

#if HIREDIS_MAJOR >= 1
size_t alloc_live_bytes(void);
size_t alloc_peak_bytes(void);   /* the most alloc_live_bytes() has been since begin */
size_t alloc_total(void);        /* calls of malloc, calloc, realloc and strdup since begin */
size_t alloc_total_bytes(void);  /* the bytes they asked for, all together */
size_t alloc_largest(void);      /* the largest single request since begin */
int alloc_owns(const void *p);   /* 1 if p is the start of a live block */
void alloc_fail_at(size_t k);    /* the k-th request from now (1 is the next) fails, once */
void alloc_fail_from(size_t k);  /* the k-th request from now and all after it fail */
void alloc_fail_never(void);
size_t alloc_failures(void);     /* requests that were made to fail since begin */
#endif

#endif
