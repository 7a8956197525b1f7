/* The reader as a stream: replies in pieces, the buffer, cost and memory. */
#include "reading.h"

#include <stdint.h>
#include <stdio.h>

#include <hiredis/sds.h>

/* One reply of every kind, and nests of them. */
static const char *const corpus[] = {
    "+OK\r\n",
    "-ERR wrong kind of value\r\n",
    ":0\r\n",
    ":-9223372036854775808\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$3\r\nfoo\r\n",
    "$8\r\n\r\n$3\r\n\r\n\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*1\r\n*1\r\n:1\r\n",
    "+\r\n",
    "*3\r\n$3\r\nfoo\r\n*2\r\n:1\r\n$-1\r\n+end\r\n",
    "*2\r\n*0\r\n*0\r\n",
#if HIREDIS_MAJOR >= 1
    "_\r\n",
    "#t\r\n",
    "#f\r\n",
    ",3.25\r\n",
    ",-inf\r\n",
    "(12345678901234567890\r\n",
    "=7\r\ntxt:a\r\n\r\n",
    "=-1\r\n",
    "%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*1\r\n#t\r\n",
    "~2\r\n:1\r\n:2\r\n",
    ">2\r\n+message\r\n$2\r\nhi\r\n",
    "|1\r\n+ttl\r\n:3600\r\n",
    "%0\r\n",
    "~-1\r\n",
    "*2\r\n=5\r\nmkd:x\r\n,1e5\r\n",
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
        while ((reply = read_reply(r)) != NULL) {
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
            CHECK_PTR(read_reply(r), NULL);
            CHECK_PTR(read_reply(r), NULL);
            feed(r, corpus[i] + cut, len - cut);
            redisReply *reply = read_reply(r);
            CHECK_STR(reply_text(reply), want);
            freeReplyObject(reply);
            CHECK_PTR(read_reply(r), NULL);
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
        for (size_t at = 1 + test_random_below(most); at < len; at += 1 + test_random_below(most))
            cuts[n++] = at;
        const char *got = read_in_pieces(all, len, cuts, n);
        if (strcmp(got, want) != 0) FAIL("seed %u, round %d: the replies differ", test_seed(), round);
    }
}

TEST(reader_stream, cr_and_lf_may_come_apart, "68") {
    redisReader *r = redisReaderCreate();
    FEED(r, "+OK\r");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "\n");
    redisReply *reply = read_reply(r);
    CHECK_REPLY_STATUS(reply, "OK");
    freeReplyObject(reply);
    FEED(r, "$3\r");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "\nfoo\r");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "\n*1\r");
    reply = read_reply(r);
    CHECK_REPLY_STRING(reply, "foo");
    freeReplyObject(reply);
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "\n:7\r");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "\n");
    reply = read_reply(r);
    CHECK_STR(reply_text(reply), "*[:7]");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, an_array_goes_on_in_a_later_feed, "69") {
    redisReader *r = redisReaderCreate();
    FEED(r, "*2\r\n+one\r\n");
    CHECK_PTR(read_reply(r), NULL);
    CHECK(redisReaderGetObject(r) != NULL);
    FEED(r, "*1\r\n$100\r\n");
    CHECK_PTR(read_reply(r), NULL);
    const char *x = repeat("x", 60, "");
    feed(r, x, 60);
    CHECK_PTR(read_reply(r), NULL);
    feed(r, x, 40);
    FEED(r, "\r\n+next");
    redisReply *reply = read_reply(r);
    CHECK_REPLY_ARRAY(reply, 2);
    CHECK_UINT(reply->element[1]->element[0]->len, 100);
    freeReplyObject(reply);
    CHECK_PTR(redisReaderGetObject(r), NULL);
    CHECK_PTR(read_reply(r), NULL);
    redisReaderFree(r);
}

TEST(reader_stream, a_call_gives_one_reply, "80") {
    redisReader *r = redisReaderCreate();
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "+a\r\n+b\r\n+c\r\n");
    for (const char *want = "abc"; *want != '\0'; want++) {
        CHECK_UINT(r->len - r->pos, 4 * strlen(want));
        redisReply *reply = read_reply(r);
        CHECK_INT(reply->str[0], *want);
        freeReplyObject(reply);
    }
    CHECK_UINT(r->len - r->pos, 0);
    CHECK_PTR(read_reply(r), NULL);
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "+d\r\n");
    redisReply *reply = read_reply(r);
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
    redisReply *reply = read_reply(r);
    CHECK_REPLY_STATUS(reply, "a");
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, the_bytes_fed_stay_the_callers, "67") {
    redisReader *r = redisReaderCreate();
    char bytes[] = "$3\r\nfoo\r\n";
    feed(r, bytes, 9);
    memset(bytes, '!', sizeof(bytes));
    redisReply *reply = read_reply(r);
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
    redisReply *reply = read_reply(r);
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
            while ((reply = read_reply(r)) != NULL) freeReplyObject(reply);
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

#if HIREDIS_MAJOR >= 1

/* ---- Big strings -------------------------------------------------------------------------------- */

/* An array of a big string, something small, and another big string; then a status. */
static char *big_strings(size_t n, size_t *len) {
    char *bytes = test_bytes(2 * n + 100), *p = bytes;
    p += sprintf(p, "*3\r\n$%zu\r\n", n);
    for (size_t i = 0; i < n; i++) *p++ = (char)(i * 31 + i / 251);
    p += sprintf(p, "\r\n:7\r\n$%zu\r\n", n);
    for (size_t i = 0; i < n; i++) *p++ = (char)(i * 17 + i / 13);
    p += sprintf(p, "\r\n+end\r\n");
    *len = (size_t)(p - bytes);
    return bytes;
}

static void check_big_strings(redisReply *reply, size_t n, const char *bytes, size_t len) {
    CHECK_REPLY_ARRAY(reply, 3);
    size_t head = (size_t)(strchr(strchr(bytes, '\n') + 1, '\n') + 1 - bytes);
    CHECK_MEM_N(reply->element[0]->str, reply->element[0]->len, bytes + head, n);
    CHECK_INT(reply->element[0]->str[n], 0);
    CHECK_REPLY_INT(reply->element[1], 7);
    CHECK_MEM_N(reply->element[2]->str, reply->element[2]->len, bytes + len - 8 - n, n);
    CHECK_INT(reply->element[2]->str[n], 0);
    freeReplyObject(reply);
}

static const size_t big_sizes[] = {16384, 32767, 32768, 32769, 65536, 131072, 300000, 2000000};

TEST(reader_stream, big_strings_arrive_in_pieces_of_any_size, "67") {
    static const size_t pieces[] = {1000, 1024, 16384, 32768, 65536, 100000, 5000000};
    for (size_t i = 0; i < sizeof(big_sizes) / sizeof(*big_sizes); i++) {
        size_t n = big_sizes[i], len;
        const char *bytes = big_strings(n, &len);
        for (size_t k = 0; k < 2 * sizeof(pieces) / sizeof(*pieces); k++) {
            alloc_count_begin();
            redisReader *r = redisReaderCreate();
            redisReply *replies[2] = {NULL, NULL}, *reply;
            int got = 0;
            for (size_t at = 0; at < len;) {
                size_t piece = pieces[k / 2];
                if (k % 2 == 1) piece = 1 + test_random_below(piece);
                if (piece > len - at) piece = len - at;
                feed(r, bytes + at, piece);
                at += piece;
                while ((reply = read_reply(r)) != NULL) {
                    CHECK(got < 2);
                    replies[got++] = reply;
                }
            }
            CHECK_INT(got, 2);
            check_big_strings(replies[0], n, bytes, len);
            CHECK_REPLY_STATUS(replies[1], "end");
            freeReplyObject(replies[1]);
            CHECK_UINT(r->len - r->pos, 0);
            redisReaderFree(r);
            alloc_count_end();
        }
    }
}

TEST(reader_stream, the_end_of_a_big_string_may_be_cut_anywhere, "67 68") {
    for (size_t i = 0; i < sizeof(big_sizes) / sizeof(*big_sizes); i++) {
        size_t n = big_sizes[i], len;
        const char *bytes = big_strings(n, &len);
        for (size_t back = 1; back < 24; back++) {
            for (size_t again = 0; again < back && again < 4; again++) {
                redisReader *r = redisReaderCreate();
                redisReply *reply;
                feed(r, bytes, n);
                CHECK_PTR(read_reply(r), NULL);
                feed(r, bytes + n, len - back - n);
                reply = read_reply(r);
                if (reply == NULL) {
                    if (back > again) feed(r, bytes + len - back, back - again);
                    reply = read_reply(r);
                    if (again > 0) feed(r, bytes + len - again, again);
                    if (reply == NULL) reply = read_reply(r);
                } else {
                    feed(r, bytes + len - back, back);
                }
                check_big_strings(reply, n, bytes, len);
                reply = read_reply(r);
                CHECK_REPLY_STATUS(reply, "end");
                freeReplyObject(reply);
                redisReaderFree(r);
            }
        }
    }
}

TEST(reader_stream, a_big_string_in_pieces_must_be_followed_by_cr_lf, "85 213") {
    for (size_t i = 0; i < sizeof(big_sizes) / sizeof(*big_sizes); i++) {
        size_t n = big_sizes[i];
        static const char *const ends[] = {"XY", "\rX", "X\n", "\n\r"};
        for (int k = 0; k < 4; k++) {
            alloc_count_begin();
            redisReader *r = redisReaderCreate();
            const char *bytes = test_printf("*2\r\n:1\r\n$%zu\r\n%s", n, repeat("x", n, ends[k]));
            size_t len = strlen(bytes);
            feed(r, bytes, n - 100);
            CHECK_PTR(read_reply(r), NULL);
            feed(r, bytes + n - 100, len - n + 100);
            check_error_state(r, REDIS_ERR_PROTOCOL, "Bad bulk string terminator");
            redisReaderFree(r);
            alloc_count_end();
        }
    }
}

TEST(reader_stream, big_verbatim_strings_arrive_in_pieces, "54 67") {
    size_t n = 100000;
    const char *bytes = test_printf("=%zu\r\ntxt:%s", n + 4, repeat("v", n, "\r\n"));
    redisReader *r = redisReaderCreate();
    for (size_t at = 0, len = strlen(bytes); at < len; at += 10000) {
        CHECK_PTR(read_reply(r), NULL);
        feed(r, bytes + at, len - at < 10000 ? len - at : 10000);
    }
    redisReply *reply = read_reply(r);
    CHECK_INT(reply->type, REDIS_REPLY_VERB);
    CHECK_STR(reply->vtype, "txt");
    CHECK_UINT(reply->len, n);
    CHECK_STR(reply->str, repeat("v", n, ""));
    freeReplyObject(reply);
    redisReaderFree(r);
}

TEST(reader_stream, a_reader_may_be_freed_within_a_big_string, "78") {
    size_t len;
    const char *bytes = big_strings(300000, &len);
    for (size_t cut = 1000; cut < len; cut += 20011) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        feed(r, bytes, cut);
        CHECK_PTR(read_reply(r), NULL);
        feed(r, bytes + cut, 100);
        CHECK_PTR(read_reply(r), NULL);
        redisReaderFree(r);
        alloc_count_end();
    }
}

TEST(reader_stream, every_failing_allocation_within_a_big_string_is_out_of_memory, "5") {
    size_t len;
    const char *bytes = big_strings(300000, &len);
    for (size_t k = 1;; k++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        redisReply *got = NULL;
        void *reply = NULL;
        int status = REDIS_OK;
        alloc_fail_at(k);
        for (size_t at = 0; at < len && status == REDIS_OK; at += 9999) {
            status = redisReaderFeed(r, bytes + at, len - at < 9999 ? len - at : 9999);
            while (status == REDIS_OK) {
                status = redisReaderGetReply(r, &reply);
                if (reply == NULL) break;
                if (got == NULL) got = reply;
                else freeReplyObject(reply);
            }
        }
        size_t failures = alloc_failures();
        alloc_fail_never();
        if (status == REDIS_OK) { /* without a failure, or one that was got over */
            check_big_strings(got, 300000, bytes, len);
        } else {
            CHECK(failures > 0);
            check_error_state(r, REDIS_ERR_OOM, "Out of memory");
            freeReplyObject(got);
        }
        redisReaderFree(r);
        alloc_count_end();
        if (failures == 0) break;
        CHECK(k < 1000);
    }
}

TEST(reader_stream, a_big_string_costs_linear_work_and_little_more_than_itself, "83 84 211") {
    size_t n = 64 << 20, piece = 16384;
    const char *x = repeat("x", piece, "");
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    const char *head = test_printf("$%zu\r\n", n);
    feed(r, head, strlen(head));
    for (size_t at = 0; at < n; at += piece) {
        CHECK_PTR(read_reply(r), NULL);
        feed(r, x, piece);
    }
    FEED(r, "\r\n");
    redisReply *reply = read_reply(r);
    CHECK_UINT(reply->len, n);
    CHECK(alloc_total_bytes() < 8 * n);
    CHECK(alloc_peak_bytes() < 2 * n);
    freeReplyObject(reply);
    redisReaderFree(r);
    alloc_count_end();
}

/* ---- The buffer -------------------------------------------------------------------------------- */

TEST(reader_stream, consumed_bytes_do_not_pile_up, "80") {
    redisReader *r = redisReaderCreate();
    const char *bytes = repeat("+0123456789\r\n", 1000, "");
    size_t fed = strlen(bytes), unread = fed;
    feed(r, bytes, fed);
    for (int i = 0; i < 1000; i++) {
        freeReplyObject(read_reply(r));
        unread -= 13;
        CHECK_UINT(r->len - r->pos, unread);
        CHECK(r->pos < 1024 || unread > 1024);
        CHECK_MEM_N(r->buf + r->pos, unread, bytes, unread);
        CHECK_INT(r->buf[r->len], 0);
    }
    CHECK_PTR(read_reply(r), NULL);
    for (int i = 0; i < 10000; i++) {
        /* Always one more that is not complete: the buffer is never empty. */
        FEED(r, "+0123456789\r\n+01");
        freeReplyObject(read_reply(r));
        CHECK_PTR(read_reply(r), NULL);
        FEED(r, "23456789\r\n");
        freeReplyObject(read_reply(r));
    }
    CHECK(sdsalloc(r->buf) < 65536);
    redisReaderFree(r);
}

/* hiredis-py shows its users `len`, and its tests count on this. */
TEST(reader_stream, consumed_bytes_stay_until_there_are_1024, "80") {
    redisReader *r = redisReaderCreate();
    FEED(r, "+ok\r\n");
    for (size_t consumed = 5; consumed <= 1025; consumed += 5) {
        FEED(r, "+ok\r\n");
        freeReplyObject(read_reply(r));
        CHECK_UINT(r->pos, consumed < 1024 ? consumed : 0);
        CHECK_UINT(r->len, consumed < 1024 ? consumed + 5 : 5);
    }
    redisReaderFree(r);
}

/* A reader whose buffer is empty but has held n bytes. */
static redisReader *reader_after(size_t n) {
    redisReader *r = redisReaderCreate();
    r->maxbuf = 0;
    const char *bytes = test_printf("$%zu\r\n%s", n, repeat("x", n, "\r\n"));
    feed(r, bytes, strlen(bytes));
    freeReplyObject(read_reply(r));
    CHECK_PTR(read_reply(r), NULL);
    CHECK_UINT(r->len, 0);
    CHECK(sdsavail(r->buf) > n);
    return r;
}

TEST(reader_stream, a_big_idle_buffer_is_dropped_at_the_next_feed, "81") {
    redisReader *r = reader_after(100000);
    size_t room = sdsavail(r->buf);
    r->maxbuf = REDIS_READER_MAX_BUF;
    CHECK_INT(redisReaderFeed(r, NULL, 0), REDIS_OK);
    CHECK_PTR(read_reply(r), NULL);
    CHECK_UINT(sdsavail(r->buf), room);
    FEED(r, "+OK\r\n");
    CHECK(sdsalloc(r->buf) < 1024);
    CHECK_UINT(r->len - r->pos, 5);
    redisReply *reply = read_reply(r);
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
    freeReplyObject(read_reply(r));
    redisReaderFree(r);

    r = reader_after(100000);
    r->maxbuf = sdsavail(r->buf) - 1;
    FEED(r, "+a\r\n");
    CHECK(sdsalloc(r->buf) < 1024);
    freeReplyObject(read_reply(r));
    redisReaderFree(r);
}

TEST(reader_stream, with_maxbuf_zero_the_buffer_is_kept, "81 82") {
    alloc_count_begin();
    redisReader *r = reader_after(1000000);
    char *buf = r->buf;
    size_t requests = 0;
    r->fn = NULL;
    for (int i = 0; i < 100; i++) {
        void *reply;
        FEED(r, "+a\r\n");
        CHECK_PTR(r->buf, buf);
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
        /* The first one may need memory for its task. */
        if (i == 0) requests = alloc_total();
    }
    CHECK_UINT(alloc_total(), requests);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, feeding_nothing_asks_for_no_memory, "79") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    const char *bytes = test_printf("$200000\r\n%s", repeat("x", 40000, ""));
    feed(r, bytes, strlen(bytes));
    CHECK_PTR(read_reply(r), NULL);
    alloc_fail_from(1);
    for (size_t have = 40000; redisReaderFeed(r, "x", 1) == REDIS_OK && have < 200000; have++)
        CHECK_INT(redisReaderFeed(r, "", 0), REDIS_OK);
    alloc_fail_never();
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, a_buffer_is_kept_if_maxbuf_becomes_zero, "81") {
    redisReader *r = redisReaderCreate();
    const char *bytes = repeat("+0123456789\r\n", 5000, "");
    feed(r, bytes, strlen(bytes));
    char *buf = r->buf;
    r->maxbuf = 0;
    for (int i = 0; i < 5000; i++) freeReplyObject(read_reply(r));
    CHECK_PTR(read_reply(r), NULL);
    CHECK_PTR(r->buf, buf);
    FEED(r, "+a\r\n");
    CHECK_PTR(r->buf, buf);
    freeReplyObject(read_reply(r));
    redisReaderFree(r);
}

TEST(reader_stream, a_buffer_with_unread_bytes_is_kept, "81") {
    redisReader *r = redisReaderCreate();
    const char *bytes = test_printf("$100000\r\n%s", repeat("x", 100000, "\r\n+a"));
    feed(r, bytes, strlen(bytes));
    freeReplyObject(read_reply(r));
    CHECK_UINT(r->len - r->pos, 2);
    FEED(r, "b\r\n");
    redisReply *reply = read_reply(r);
    CHECK_REPLY_STATUS(reply, "ab");
    freeReplyObject(reply);
    redisReaderFree(r);
}

/* ---- Linear cost -------------------------------------------------------------------------------- */

/* The bytes that the allocator hands out bound what is copied between blocks. Work that copies
 * or scans within a block is bounded by the time limit of the test: were it quadratic, these
 * sizes would take minutes. */

TEST(reader_stream, a_long_line_in_pieces_costs_linear_work, "83 211") {
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

TEST(reader_stream, a_long_line_inside_an_aggregate_costs_linear_work, "83 211") {
    static const char *const heads[] = {"*2\r\n+", "*2\r\n:1\r\n(", "*1\r\n*1\r\n-"};
    size_t piece = 4096, pieces = 32768; /* 128 MiB */
    const char *x = repeat("1", piece, "");
    for (int i = 0; i < 3; i++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        void *reply = NULL;
        feed(r, heads[i], strlen(heads[i]));
        for (size_t k = 0; k < pieces; k++) {
            feed(r, x, piece);
            CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
            CHECK_PTR(reply, NULL);
        }
        FEED(r, "\r\n");
        if (i == 0) FEED(r, ":2\r\n");
        CHECK_INT(redisReaderGetReply(r, &reply), REDIS_OK);
        CHECK_REPLY_ARRAY((redisReply *)reply, i == 2 ? 1 : 2);
        freeReplyObject(reply);
        CHECK(alloc_total_bytes() < 8 * piece * pieces);
        redisReaderFree(r);
        alloc_count_end();
    }
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

TEST(reader_stream, a_full_buffer_is_drained_in_linear_work, "80 83 211") {
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
        reply = read_reply(r);
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

TEST(reader_stream, an_announced_count_costs_nothing_until_elements_arrive, "84 210") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "*4294967295\r\n");
    CHECK_PTR(read_reply(r), NULL);
    CHECK(alloc_peak_bytes() < 16384);
    for (int i = 0; i < 1000; i++) {
        FEED(r, ":1\r\n");
        CHECK_PTR(read_reply(r), NULL);
    }
    CHECK(alloc_peak_bytes() < 16384 + 1000 * (64 + 32));
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, nested_announcements_cost_memory_in_proportion_to_their_bytes, "84 210") {
    static const char *const heads[] = {"*16000\r\n", "%16000\r\n", "~4294967295\r\n", ">4294967295\r\n"};
    for (int i = 0; i < 4; i++) {
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        const char *bytes = repeat(heads[i], 1000, "");
        feed(r, bytes, strlen(bytes));
        CHECK_PTR(read_reply(r), NULL);
        CHECK(alloc_peak_bytes() < 256 * strlen(bytes));
        redisReaderFree(r);
        alloc_count_end();
    }
}

TEST(reader_stream, an_announced_bulk_costs_nothing_until_it_arrives, "84 210") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "$1073741824\r\nabc");
    CHECK_PTR(read_reply(r), NULL);
    CHECK(alloc_peak_bytes() < 1 << 20);
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, every_failing_allocation_is_out_of_memory, "2 5 77") {
    const char *all = all_of_corpus();
    const char *big =
        test_printf("*2\r\n$2000\r\n%s%s", repeat("x", 2000, "\r\n"), repeat("*1\r\n", 30, ":1\r\n"));
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
            while (status == REDIS_OK && (status = redisReaderGetReply(r, &reply)) == REDIS_OK &&
                   reply != NULL)
                freeReplyObject(reply);
            if (status == REDIS_OK) status = redisReaderFeed(r, all + half, len - half);
            if (status == REDIS_OK) status = redisReaderFeed(r, big, strlen(big));
            while (status == REDIS_OK && (status = redisReaderGetReply(r, &reply)) == REDIS_OK &&
                   reply != NULL)
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

TEST(reader_stream, a_failing_allocation_while_dropping_a_big_buffer_is_an_error_state, "5 81") {
    alloc_count_begin();
    redisReader *r = reader_after(100000);
    r->maxbuf = REDIS_READER_MAX_BUF;
    alloc_fail_at(1);
    CHECK_INT(redisReaderFeed(r, "+OK\r\n", 5), REDIS_ERR);
    CHECK_UINT(alloc_failures(), 1);
    check_error_state(r, REDIS_ERR_OOM, "Out of memory");
    redisReaderFree(r);
    alloc_count_end();
}

TEST(reader_stream, a_failing_allocation_in_feed_is_an_error_state, "5") {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    FEED(r, "*2\r\n:1\r\n");
    CHECK_PTR(read_reply(r), NULL);
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
