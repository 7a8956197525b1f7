/* What the reader refuses, with the code and the text of each refusal. */
#include "reading.h"

#include <limits.h>
#include <stdio.h>

#define BAD_INTEGER "Bad integer value"
#define BAD_DOUBLE "Bad double value"
#define BAD_BULK "Bad bulk string length"
#define BAD_COUNT "Bad multi-bulk length"
#define COUNT_RANGE "Multi-bulk length out of range"
#define TOO_DEEP "Max nesting depth exceeded"

/* ---- The type byte ------------------------------------------------------------------ */

TEST(reader_errors, an_unknown_type_byte_is_named, "28") {
    CHECK_STR(READ_ERROR("@foo\r\n"), "Protocol error, got \"@\" as reply type byte");
    CHECK_STR(READ_ERROR("@"), "Protocol error, got \"@\" as reply type byte");
    CHECK_STR(READ_ERROR("+OK\r\nPING\r\n"), "Protocol error, got \"P\" as reply type byte");
}

TEST(reader_errors, an_unknown_type_byte_is_shown_escaped, "30") {
    CHECK_STR(READ_ERROR("\0"), "Protocol error, got \"\\x00\" as reply type byte");
    CHECK_STR(READ_ERROR("\xff"), "Protocol error, got \"\\xff\" as reply type byte");
    CHECK_STR(READ_ERROR("\x7f"), "Protocol error, got \"\\x7f\" as reply type byte");
    CHECK_STR(READ_ERROR("\x0b"), "Protocol error, got \"\\x0b\" as reply type byte");
    CHECK_STR(READ_ERROR("\n"), "Protocol error, got \"\\n\" as reply type byte");
    CHECK_STR(READ_ERROR("\r\n"), "Protocol error, got \"\\r\" as reply type byte");
    CHECK_STR(READ_ERROR("\t"), "Protocol error, got \"\\t\" as reply type byte");
    CHECK_STR(READ_ERROR("\a"), "Protocol error, got \"\\a\" as reply type byte");
    CHECK_STR(READ_ERROR("\b"), "Protocol error, got \"\\b\" as reply type byte");
    CHECK_STR(READ_ERROR("\""), "Protocol error, got \"\\\"\" as reply type byte");
    CHECK_STR(READ_ERROR("\\"), "Protocol error, got \"\\\\\" as reply type byte");
    CHECK_STR(READ_ERROR(" "), "Protocol error, got \" \" as reply type byte");
}

TEST_1X(reader_errors, every_other_byte_is_no_type, "28 30 51") {
    for (int c = 0; c < 256; c++) {
        char bytes[8] = {(char)c, '\r', '\n'};
        const char *named = test_printf("\"\\x%02x\"", c);
        if (c != 0 && strchr("-+:,_#($=*%|~>", c) != NULL) continue;
        if (c == '!') continue; /* blob errors may be served, see the next test */
        if (c >= 0x20 && c < 0x7f) named = test_printf(c == '"' || c == '\\' ? "\"\\%c\"" : "\"%c\"", c);
        for (const char *p = "nrtab", *q = "\n\r\t\a\b"; *p != '\0'; p++, q++) {
            if (*q == c) named = test_printf("\"\\%c\"", *p);
        }
        const char *want = test_printf("Protocol error, got %s as reply type byte", named);
        CHECK_STR(read_error(bytes, 3), want);
        char nested[16] = "*2\r\n:1\r\n";
        nested[8] = (char)c;
        CHECK_STR(read_error(nested, 9), want);
    }
}

TEST_1X(reader_errors, a_blob_error_is_refused_or_an_error_reply, "28") {
    const char *text = READ_ERROR("!5\r\nhello\r\n");
    if (strcmp(text, "no error") == 0) CHECK_STR(PARSED("!5\r\nhello\r\n"), "-hello");
    else CHECK_STR(text, "Protocol error, got \"!\" as reply type byte");
}

TEST_1X(reader_errors, streamed_lengths_and_parts_are_refused, "42 43") {
    CHECK_STR(READ_ERROR("$?\r\n"), BAD_BULK);
    CHECK_STR(READ_ERROR("*?\r\n"), BAD_COUNT);
    CHECK_STR(READ_ERROR("%?\r\n"), BAD_COUNT);
    CHECK_STR(READ_ERROR(";4\r\n"), "Protocol error, got \";\" as reply type byte");
    CHECK_STR(READ_ERROR(".\r\n"), "Protocol error, got \".\" as reply type byte");
}

/* ---- The error state ------------------------------------------------------------------ */

TEST(reader_errors, elements_read_before_an_error_are_freed, "29") {
    CHECK_STR(READ_ERROR("*2\r\n$5\r\nhello\r\n@foo\r\n"), "Protocol error, got \"@\" as reply type byte");
    CHECK_STR(READ_ERROR("*3\r\n+a\r\n*2\r\n$1\r\nb\r\n:1\r\n*1\r\n:x\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR("*1\r\n*1\r\n*2\r\n-e\r\n$x\r\n"), BAD_BULK);
}

TEST_1X(reader_errors, elements_of_every_type_are_freed_on_an_error, "29") {
    CHECK_STR(READ_ERROR("*15\r\n+s\r\n-e\r\n:1\r\n$1\r\nb\r\n_\r\n#t\r\n,1.5\r\n(12\r\n=5\r\ntxt:x\r\n"
                         "*1\r\n+a\r\n%1\r\n+k\r\n+v\r\n~1\r\n:1\r\n|1\r\n+k\r\n+v\r\n>1\r\n+p\r\n@"),
              "Protocol error, got \"@\" as reply type byte");
}

TEST(reader_errors, an_error_stays, "31") {
    redisReader *r = redisReaderCreate();
    FEED(r, "@foo\r\n");
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"@\" as reply type byte");
    redisReaderFree(r);
}

TEST(reader_errors, replies_before_the_error_are_delivered, "31") {
    redisReader *r = redisReaderCreate();
    FEED(r, "+one\r\n:2\r\n?\r\n+never\r\n");
    redisReply *reply = read_reply(r);
    CHECK_REPLY_STATUS(reply, "one");
    freeReplyObject(reply);
    reply = read_reply(r);
    CHECK_REPLY_INT(reply, 2);
    freeReplyObject(reply);
    check_error_state(r, REDIS_ERR_PROTOCOL, "Protocol error, got \"?\" as reply type byte");
    redisReaderFree(r);
}

/* ---- Integers ------------------------------------------------------------------------- */

TEST(reader_errors, integers_beyond_a_long_long_are_refused, "32") {
    redisReply *reply = PARSE(":9223372036854775807\r\n");
    CHECK_REPLY_INT(reply, LLONG_MAX);
    freeReplyObject(reply);
    reply = PARSE(":-9223372036854775808\r\n");
    CHECK_REPLY_INT(reply, LLONG_MIN);
    freeReplyObject(reply);
    CHECK_STR(READ_ERROR(":9223372036854775808\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":-9223372036854775809\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":18446744073709551616\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":18446744073709551617\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":10000000000000000000\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":99999999999999999999999999999999999999999999\r\n"), BAD_INTEGER);
}

TEST(reader_errors, integers_are_strictly_decimal, "33") {
    static const char *const bad[] = {"",    "+5",  "-0",  "00",  "01",  " 1",  "-",   "1 ",  "1a", "a",
                                      "--1", "-01", "0x1", "1.0", "1e3", "-+1", "\t1", "1,0", "-a", "٣"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf(":%s\r\n", bad[i]);
        if (strcmp(read_error(bytes, strlen(bytes)), BAD_INTEGER) != 0)
            FAIL("\":%s\" gives %s", bad[i], read_error(bytes, strlen(bytes)));
    }
    CHECK_STR(READ_ERROR(":1\0\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":\0\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":1\r\r\n"), BAD_INTEGER);
    CHECK_STR(READ_ERROR(":1\n\r\n"), BAD_INTEGER);
    const char *digits = test_printf(":%s", repeat("1", 100000, "\r\n"));
    CHECK_STR(read_error(digits, strlen(digits)), BAD_INTEGER);
}

/* ---- Bulk strings ------------------------------------------------------------------------ */

TEST(reader_errors, a_bulk_length_is_strictly_decimal, "42") {
    static const char *const bad[] = {"",  "a",   "03",  "+3", "9223372036854775808", "-", "-0", " 3", "3 ",
                                      "?", "1.0", "0x3", "-01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf("$%s\r\nfoo\r\n", bad[i]);
        if (strcmp(read_error(bytes, strlen(bytes)), BAD_BULK) != 0)
            FAIL("\"$%s\" gives %s", bad[i], read_error(bytes, strlen(bytes)));
    }
    CHECK_STR(READ_ERROR("$3\0\r\nfoo\r\n"), BAD_BULK);
    CHECK_STR(READ_ERROR("$3\rfoo\r\n"), BAD_BULK);
}

TEST(reader_errors, a_bulk_length_below_minus_one_is_out_of_range, "34") {
    CHECK_STR(READ_ERROR("$-2\r\nasdf\r\n"), "Bulk string length out of range");
    CHECK_STR(READ_ERROR("$-9223372036854775808\r\n"), "Bulk string length out of range");
}

#if HIREDIS_MAJOR >= 1
TEST(reader_errors, a_huge_bulk_length_is_an_error_or_waits, "34 5") {
    static const char *const lengths[] = {"9223372036854775807", "9223372036854775806", "9223372036854775800",
                                          "4611686018427387904", "1099511627776"};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        const char *bytes = test_printf("$%s\r\nfoo\r\nbar\r\n", lengths[i]);
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        void *reply = r;
        feed(r, bytes, strlen(bytes));
        if (redisReaderGetReply(r, &reply) != REDIS_OK) {
            int oom = r->err == REDIS_ERR_OOM;
            check_error_state(r, oom ? REDIS_ERR_OOM : REDIS_ERR_PROTOCOL,
                              oom ? "Out of memory" : "Bulk string length out of range");
        }
        CHECK_PTR(reply, NULL);
        CHECK(alloc_peak_bytes() < 1 << 20);
        redisReaderFree(r);
        alloc_count_end();
    }
}
#endif

TEST(reader_errors, a_bulk_must_be_followed_by_cr_lf, "85 213") {
    CHECK_STR(READ_ERROR("$3\r\nfooXX"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("$3\r\nfoo\rX"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("$3\r\nfooX\n"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("$3\r\nfoo\n\r"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("$3\r\nfoobar\r\n"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("$0\r\nab\r\n"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("*2\r\n$3\r\nfoo\r\n$3\r\nba\r\n+x\r\n"), "Bad bulk string terminator");
}

TEST_1X(reader_errors, a_wrong_terminator_is_an_error_with_its_second_byte, "35") {
    static const char *const heads[] = {"$70000\r\n", "=70000\r\ntxt:"};
    char *text = test_bytes(70000);
    memset(text, 'x', 70000);
    for (size_t i = 0; i < 2; i++) {
        size_t rest = 70000 - (i == 1 ? 4 : 0);
        redisReader *r = redisReaderCreate();
        redisReaderFeed(r, heads[i], strlen(heads[i]));
        redisReaderFeed(r, text, rest);
        FEED(r, "X");
        CHECK_PTR(read_reply(r), NULL);
        FEED(r, "Y");
        check_error_state(r, REDIS_ERR_PROTOCOL, "Bad bulk string terminator");
        redisReaderFree(r);
    }
}

TEST_1X(reader_errors, a_verbatim_string_must_be_followed_by_cr_lf, "85 213") {
    CHECK_STR(READ_ERROR("=7\r\ntxt:abcXX"), "Bad bulk string terminator");
    CHECK_STR(READ_ERROR("=7\r\ntxt:abcd\r\n"), "Bad bulk string terminator");
}

TEST_1X(reader_errors, a_verbatim_string_needs_its_content_type, "46") {
    const char *want = "Verbatim string 4 bytes of content type are missing or incorrectly encoded.";
    CHECK_STR(READ_ERROR("=3\r\nabc\r\n"), want);
    CHECK_STR(READ_ERROR("=0\r\n\r\n"), want);
    CHECK_STR(READ_ERROR("=4\r\ntxtX\r\n"), want);
    CHECK_STR(READ_ERROR("=10\r\ntxt LOLWUT\r\n"), want);
    CHECK_STR(READ_ERROR("=10\r\nt:xtLOLWUT\r\n"), want);
    CHECK_STR(READ_ERROR("=x\r\n"), BAD_BULK);
    CHECK_STR(READ_ERROR("=-2\r\n"), "Bulk string length out of range");
    CHECK_STR(READ_ERROR("*2\r\n+a\r\n=3\r\nabc\r\n"), want);
}

/* ---- Aggregates ------------------------------------------------------------------------------ */

TEST(reader_errors, a_count_is_strictly_decimal, "43") {
    static const char *const bad[] = {
        "", "?", "a", "03", "+3", "-", "-0", " 1", "1 ", "9223372036854775808", "1.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf("*%s\r\n", bad[i]);
        if (strcmp(read_error(bytes, strlen(bytes)), BAD_COUNT) != 0)
            FAIL("\"*%s\" gives %s", bad[i], read_error(bytes, strlen(bytes)));
    }
    CHECK_STR(READ_ERROR("*1\0\r\n+a\r\n"), BAD_COUNT);
}

TEST_1X(reader_errors, counts_of_every_aggregate_are_checked_alike, "34 38 43") {
    for (const char *type = "*%~>|"; *type != '\0'; type++) {
        const char *bytes = test_printf("%c-2\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), COUNT_RANGE);
        bytes = test_printf("%cx\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), BAD_COUNT);
        bytes = test_printf("%c4294967296\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), COUNT_RANGE);
        bytes = test_printf("%c9223372036854775807\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), COUNT_RANGE);
        bytes = test_printf("%c-9223372036854775808\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), COUNT_RANGE);
        bytes = test_printf("*1\r\n%c-2\r\n", *type);
        CHECK_STR(read_error(bytes, strlen(bytes)), COUNT_RANGE);
    }
}

TEST(reader_errors, a_count_below_minus_one_is_out_of_range, "34") {
    CHECK_STR(READ_ERROR("*-2\r\n+asdf\r\n"), COUNT_RANGE);
}

#if HIREDIS_MAJOR >= 1

/* The error for the bytes with this maxelements, or "no error". */
static const char *limited(long long maxelements, const char *bytes) {
    alloc_count_begin();
    redisReader *r = redisReaderCreate();
    void *reply = NULL;
    r->maxelements = maxelements;
    feed(r, bytes, strlen(bytes));
    redisReaderGetReply(r, &reply);
    freeReplyObject(reply);
    const char *text = r->err != 0 ? test_printf("%s", r->errstr) : "no error";
    if (r->err != 0)
        CHECK_INT(r->err, strcmp(text, "Out of memory") == 0 ? REDIS_ERR_OOM : REDIS_ERR_PROTOCOL);
    redisReaderFree(r);
    alloc_count_end();
    return text;
}

TEST(reader_errors, the_number_of_elements_is_limited_by_maxelements, "35 38 82") {
    CHECK_STR(limited(1024, "*1025\r\n+asdf\r\n"), COUNT_RANGE);
    CHECK_STR(limited(1024, "*1024\r\n+asdf\r\n"), "no error");
    CHECK_STR(limited(2, "*2\r\n:1\r\n:2\r\n"), "no error");
    CHECK_STR(limited(2, "*1\r\n*3\r\n"), COUNT_RANGE);
    CHECK_STR(limited(1, "*-1\r\n"), "no error");
    CHECK_STR(limited(REDIS_READER_MAX_ARRAY_ELEMENTS, "*4294967296\r\n+a\r\n"), COUNT_RANGE);
    CHECK_STR(limited(4294967296, "*4294967297\r\n"), COUNT_RANGE);
}

TEST(reader_errors, maxelements_counts_pairs, "35") {
    CHECK_STR(limited(2, "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"), "no error");
    CHECK_STR(limited(2, "%3\r\n"), COUNT_RANGE);
    CHECK_STR(limited(2, "|2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"), "no error");
    CHECK_STR(limited(2, "|3\r\n"), COUNT_RANGE);
}

TEST(reader_errors, without_maxelements_only_the_address_space_limits, "36 37") {
    const char *huge = test_printf("*%llu\r\n+asdf\r\n", (unsigned long long)(SIZE_MAX / sizeof(void *) + 3));
    CHECK_STR(limited(0, huge), "Out of memory");
    CHECK_STR(limited(-1, huge), "Out of memory");
    CHECK_STR(limited(0, "*9223372036854775807\r\n"), "Out of memory");
    CHECK_STR(limited(0, "%4611686018427387904\r\n+asdf\r\n"), COUNT_RANGE);
    CHECK_STR(limited(0, "|4611686018427387904\r\n+asdf\r\n"), COUNT_RANGE);
    CHECK_STR(limited(-1, "%9223372036854775807\r\n"), COUNT_RANGE);
    CHECK_STR(limited(0, "%2305843009213693953\r\n"), "Out of memory");
    CHECK_STR(limited(0, "*9223372036854775808\r\n"), BAD_COUNT);
    CHECK_STR(limited(0, "*-2\r\n"), COUNT_RANGE);
}

/* ---- Depth ------------------------------------------------------------------------------------ */

TEST(reader_errors, a_thousand_and_twenty_four_levels_nest, "39") {
    for (const char *type = "*~>"; *type != '\0'; type++) {
        const char *bytes = repeat(test_printf("%c1\r\n", *type), 1024, "$3\r\nend\r\n");
        redisReply *reply = parse(bytes, strlen(bytes)), *leaf = reply;
        for (int i = 0; i < 1024; i++) {
            CHECK_UINT(leaf->elements, 1);
            leaf = leaf->element[0];
        }
        CHECK_REPLY_STRING(leaf, "end");
        freeReplyObject(reply);
    }
    const char *bytes = repeat("%1\r\n+k\r\n", 1024, ":1\r\n");
    freeReplyObject(parse(bytes, strlen(bytes)));
}

TEST(reader_errors, one_level_more_is_refused, "39") {
    static const char *const innermost[] = {"*1\r\n:1\r\n", "*0\r\n", "*-1\r\n", "%1\r\n", "%0\r\n", "~0\r\n",
                                            ">0\r\n",       "|0\r\n", "*x\r\n",  "*",      "%",      "*1"};
    for (size_t i = 0; i < sizeof(innermost) / sizeof(*innermost); i++) {
        const char *bytes = repeat("*1\r\n", 1024, innermost[i]);
        CHECK_STR(read_error(bytes, strlen(bytes)), TOO_DEEP);
    }
    static const char *const leaves[] = {":1\r\n", "$-1\r\n", "_\r\n", "+\r\n", ",1\r\n"};
    for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++) {
        const char *bytes = repeat("*1\r\n", 1024, leaves[i]);
        CHECK_STR(read_error(bytes, strlen(bytes)), "no error");
    }
}

TEST(reader_errors, depth_counts_levels_not_elements, "39") {
    /* Many aggregates beside each other, at the deepest level that is allowed. */
    const char *bytes = repeat("*1\r\n", 1022, repeat("", 0, "*3\r\n*1\r\n:1\r\n*0\r\n%1\r\n+k\r\n:2\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "no error");
    freeReplyObject(parse(bytes, strlen(bytes)));
}

#ifdef REDIS_READER_MAX_REPLY_DEPTH
TEST(reader_errors, maxdepth_sets_the_limit, "40 82") {
    redisReader *r = redisReaderCreate();
    CHECK_INT(r->maxdepth, REDIS_READER_MAX_REPLY_DEPTH);
    CHECK_INT(REDIS_READER_MAX_REPLY_DEPTH, 1024);
    r->maxdepth = 2;
    FEED(r, "*1\r\n*1\r\n:1\r\n");
    redisReply *reply = read_reply(r);
    CHECK_STR(reply_text(reply), "*[*[:1]]");
    freeReplyObject(reply);
    FEED(r, "*1\r\n*1\r\n*0\r\n");
    check_error_state(r, REDIS_ERR_PROTOCOL, TOO_DEEP);
    redisReaderFree(r);
}

TEST(reader_errors, maxdepth_is_read_each_time, "40 82") {
    redisReader *r = redisReaderCreate();
    r->maxdepth = 1;
    FEED(r, "*2\r\n:1\r\n");
    CHECK_PTR(read_reply(r), NULL);
    r->maxdepth = 3;
    FEED(r, "*1\r\n");
    CHECK_PTR(read_reply(r), NULL);
    r->maxdepth = 2;
    FEED(r, "*1\r\n");
    check_error_state(r, REDIS_ERR_PROTOCOL, TOO_DEEP);
    redisReaderFree(r);
}

/* Before the length of the aggregate is there. */
TEST(reader_errors, an_aggregate_too_deep_is_an_error_at_its_type_byte, "40") {
    redisReader *r = redisReaderCreate();
    r->maxdepth = 1;
    FEED(r, "*2\r\n:");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "1\r\n");
    CHECK_PTR(read_reply(r), NULL);
    FEED(r, "*");
    check_error_state(r, REDIS_ERR_PROTOCOL, TOO_DEEP);
    redisReaderFree(r);
}

TEST(reader_errors, maxdepth_zero_or_less_is_no_limit, "40") {
    for (int limit = 0; limit > -3; limit--) {
        redisReader *r = redisReaderCreate();
        r->maxdepth = limit;
        const char *bytes = repeat("*1\r\n", 5000, ":1\r\n");
        feed(r, bytes, strlen(bytes));
        redisReply *reply = read_reply(r);
        CHECK_REPLY_ARRAY(reply, 1);
        freeReplyObject(reply);
        redisReaderFree(r);
    }
}
#endif

#endif

TEST(reader_errors, seven_levels_nest_in_every_release, "41") {
    const char *bytes = repeat("*1\r\n", 7, "$5\r\nhello\r\n");
    CHECK_STR(parsed(bytes, strlen(bytes)), "*[*[*[*[*[*[*[\"hello\"]]]]]]]");
}

TEST_1X(reader_errors, a_hundred_and_twenty_eight_levels_nest, "41") {
    const char *bytes = repeat("*1\r\n", 128, "$6\r\nLOLWUT\r\n");
    redisReply *reply = parse(bytes, strlen(bytes)), *leaf = reply;
    for (int i = 0; i < 128; i++) {
        CHECK_REPLY_ARRAY(leaf, 1);
        leaf = leaf->element[0];
    }
    CHECK_REPLY_STRING(leaf, "LOLWUT");
    freeReplyObject(reply);
}

/* ---- Lines --------------------------------------------------------------------------------------- */

TEST_1X(reader_errors, a_simple_string_with_a_lone_cr_or_lf_is_refused, "44") {
    static const char *const bad[] = {"a\rb", "a\nb", "\r", "\n", "a\r", "a\n", "\na", "\ra", "a\n\rb"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        for (const char *type = "+-"; *type != '\0'; type++) {
            const char *bytes = test_printf("%c%s\r\n", *type, bad[i]);
            CHECK_STR(read_error(bytes, strlen(bytes)), "Bad simple string value");
        }
    }
}

TEST_1X(reader_errors, nil_has_no_text, "45") {
    CHECK_STR(READ_ERROR("_nil\r\n"), "Bad nil value");
    CHECK_STR(READ_ERROR("_\0\r\n"), "Bad nil value");
    CHECK_STR(READ_ERROR("_ \r\n"), "Bad nil value");
    CHECK_STR(READ_ERROR("_\r\r\n"), "Bad nil value");
}

TEST_1X(reader_errors, a_bool_is_one_letter, "45") {
    static const char *const bad[] = {"foobar", "1", "0", "", "tt", "ft", "true", " t", "t ", "T\r", "y"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf("#%s\r\n", bad[i]);
        CHECK_STR(read_error(bytes, strlen(bytes)), "Bad bool value");
    }
}

TEST_1X(reader_errors, a_nul_is_no_bool, "86") { CHECK_STR(READ_ERROR("#\0\r\n"), "Bad bool value"); }

TEST_1X(reader_errors, a_big_number_has_digits_only, "47") {
    static const char *const bad[] = {"+1", "1-", "12a", " 1", "1 ", "1.0", "--1", "1e5", "0x1", "\r"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf("(%s\r\n", bad[i]);
        CHECK_STR(read_error(bytes, strlen(bytes)), "Bad bignum value");
    }
    CHECK_STR(READ_ERROR("(1\0\r\n"), "Bad bignum value");
}

TEST_1X(reader_errors, a_malformed_double_is_refused, "48 50") {
    static const char *const bad[] = {
        "",       "1.2.3", "1e",        "+",     ".",
        "1,5",    "abc",   "3.14x",     "1e400", "+1.5",
        " 1",     "0x10",  "infinity",  "+inf",  "1 ",
        "-",      "-.",    "e5",        ".e5",   "1e+",
        "1e-",    "1e1.5", "--1",       "-+1",   "1e400",
        "-1e400", "1e309", "nan(1)",    "nan1",  "inff",
        "in",     "na",    "-infinity", "+nan",  "1_0",
        "0x1p3",  "1p3",   "1d5",       "1f",    "1\t",
        "\v1",    "1e5e5", "- 1",       "1.-5",  "1.7976931348623159e308",
        "١",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *bytes = test_printf(",%s\r\n", bad[i]);
        if (strcmp(read_error(bytes, strlen(bytes)), BAD_DOUBLE) != 0)
            FAIL("\",%s\" gives %s", bad[i], read_error(bytes, strlen(bytes)));
        bytes = test_printf("*2\r\n+a\r\n,%s\r\n", bad[i]);
        CHECK_STR(read_error(bytes, strlen(bytes)), BAD_DOUBLE);
    }
    CHECK_STR(READ_ERROR(",1\0\r\n"), BAD_DOUBLE);
    CHECK_STR(READ_ERROR(",\0001\r\n"), BAD_DOUBLE);
    CHECK_STR(READ_ERROR(",1.5\0005\r\n"), BAD_DOUBLE);
    CHECK_STR(READ_ERROR(",1\r\r\n"), BAD_DOUBLE);
    CHECK_STR(READ_ERROR(",inf\0\r\n"), BAD_DOUBLE);
}

TEST_1X(reader_errors, a_double_has_at_most_325_characters, "49") {
    const char *bytes = test_printf(",%s", repeat("0", 325, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "no error");
    bytes = test_printf(",0.%s", repeat("3", 323, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "no error");
    bytes = test_printf(",%s", repeat("x", 325, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), BAD_DOUBLE);
    bytes = test_printf(",%s", repeat("0", 326, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "Double value is too large");
    bytes = test_printf(",%s", repeat("x", 326, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "Double value is too large");
    bytes = test_printf(",%s", repeat("1", 100000, "\r\n"));
    CHECK_STR(read_error(bytes, strlen(bytes)), "Double value is too large");
}

/* ---- Noise ---------------------------------------------------------------------------------------- */

TEST(reader_errors, random_bytes_end_in_an_error_or_in_waiting, "51") {
    static const char alphabet[] = "*$:+-%~>|=,#_(0123456789\r\n\r\n\r\n-ab.e\0\xff";
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        size_t len = 1 + test_random_below(sizeof(bytes));
        void *reply = NULL;
        for (size_t i = 0; i < len; i++) bytes[i] = alphabet[test_random_below(sizeof(alphabet) - 1)];
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        for (size_t at = 0; at < len && r->err == 0;) {
            size_t n = 1 + test_random_below(len - at);
            feed(r, bytes + at, n);
            at += n;
            while (redisReaderGetReply(r, &reply) == REDIS_OK && reply != NULL) freeReplyObject(reply);
        }
        CHECK(strlen(r->errstr) < sizeof(r->errstr) - 1);
        redisReaderFree(r);
        alloc_count_end();
    }
}

TEST(reader_errors, damaged_replies_end_in_an_error_or_a_reply, "51") {
    static const char good[] = "*8\r\n+status\r\n-ERR error\r\n:12345\r\n$11\r\nbulk string\r\n$-1\r\n*-1\r\n"
                               "*2\r\n:-7\r\n$0\r\n\r\n*0\r\n";
    for (int round = 0; round < 20000; round++) {
        char bytes[sizeof(good)];
        void *reply = NULL;
        memcpy(bytes, good, sizeof(good));
        for (uint32_t n = 1 + test_random_below(3); n > 0; n--) {
            size_t at = test_random_below(sizeof(good) - 1);
            bytes[at] = test_random() & 1 ? (char)test_random() : good[test_random_below(sizeof(good) - 1)];
        }
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        feed(r, bytes, sizeof(good) - 1);
        while (redisReaderGetReply(r, &reply) == REDIS_OK && reply != NULL) freeReplyObject(reply);
        redisReaderFree(r);
        alloc_count_end();
    }
}
