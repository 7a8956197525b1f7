/* What the reader makes of each reply type, with the default reply objects. */
#include "reading.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- RESP2 ----------------------------------------------------------------------------- */

TEST(reader_values, statuses_errors_and_bulk_strings_have_text_and_length, "52 63 65") {
    redisReply *r = PARSE("+OK\r\n");
    CHECK_REPLY_STATUS(r, "OK");
    freeReplyObject(r);
    r = PARSE("-ERR unknown command\r\n");
    CHECK_REPLY_ERROR(r, "ERR unknown command");
    freeReplyObject(r);
    r = PARSE("$5\r\nhello\r\n");
    CHECK_REPLY_STRING(r, "hello");
    freeReplyObject(r);
    r = PARSE("$9\r\na\r\nb\0+O\r\n\r\n");
    CHECK_REPLY_STRING(r, "a\r\nb\0+O\r\n");
    freeReplyObject(r);
    r = PARSE("+a\0b\xff\r\n");
    CHECK_REPLY_STATUS(r, "a\0b\xff");
    freeReplyObject(r);
    r = PARSE("- \t\r\n");
    CHECK_REPLY_ERROR(r, " \t");
    freeReplyObject(r);
}

TEST(reader_values, empty_texts_are_empty_strings_not_null, "63") {
    redisReply *r = PARSE("+\r\n");
    CHECK_REPLY_STATUS(r, "");
    freeReplyObject(r);
    r = PARSE("-\r\n");
    CHECK_REPLY_ERROR(r, "");
    freeReplyObject(r);
    r = PARSE("$0\r\n\r\n");
    CHECK_REPLY_STRING(r, "");
    freeReplyObject(r);
}

TEST(reader_values, text_of_any_length_is_whole, "67") {
    static const size_t sizes[] = {1,    2,    15,   16,   17,    63,    64,    127,   128,   129,    1023,
                                   1024, 1025, 4095, 4096, 16383, 16384, 16385, 65535, 65536, 1000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t n = sizes[i];
        char *text = test_bytes(n), *bytes = test_bytes(n + 40);
        for (size_t k = 0; k < n; k++) text[k] = (char)(' ' + k % 90);
        int head = sprintf(bytes, "$%zu\r\n", n);
        memcpy(bytes + head, text, n);
        memcpy(bytes + head + n, "\r\n", 2);
        redisReply *r = parse(bytes, (size_t)head + n + 2);
        CHECK_INT(r->type, REDIS_REPLY_STRING);
        CHECK_MEM_N(r->str, r->len, text, n);
        CHECK_INT(r->str[n], 0);
        freeReplyObject(r);
        bytes[0] = '+';
        memcpy(bytes + 1, text, n);
        memcpy(bytes + 1 + n, "\r\n", 2);
        r = parse(bytes, n + 3);
        CHECK_INT(r->type, REDIS_REPLY_STATUS);
        CHECK_MEM_N(r->str, r->len, text, n);
        CHECK_INT(r->str[n], 0);
        freeReplyObject(r);
    }
}

TEST(reader_values, integers_of_every_size, "32") {
    static const long long values[] = {0,
                                       1,
                                       -1,
                                       9,
                                       10,
                                       42,
                                       -100,
                                       2147483647,
                                       -2147483648LL,
                                       4294967296,
                                       999999999999999999,
                                       1000000000000000000,
                                       -1000000000000000000};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        const char *bytes = test_printf(":%lld\r\n", values[i]);
        redisReply *r = parse(bytes, strlen(bytes));
        CHECK_REPLY_INT(r, values[i]);
        freeReplyObject(r);
    }
    for (int i = 0; i < 2000; i++) {
        long long value = (long long)((uint64_t)test_random() << 32 | test_random()) >> test_random_below(64);
        const char *bytes = test_printf(":%lld\r\n", value);
        redisReply *r = parse(bytes, strlen(bytes));
        CHECK_REPLY_INT(r, value);
        freeReplyObject(r);
    }
}

TEST(reader_values, both_resp2_nulls_are_nil, "52") {
    redisReply *r = PARSE("$-1\r\n");
    CHECK_REPLY_NIL(r);
    freeReplyObject(r);
    r = PARSE("*-1\r\n");
    CHECK_REPLY_NIL(r);
    freeReplyObject(r);
    CHECK_STR(PARSED("*3\r\n$-1\r\n*-1\r\n:1\r\n"), "*[nil nil :1]");
}

TEST(reader_values, an_empty_array_has_no_vector, "53") {
    redisReply *r = PARSE("*0\r\n");
    CHECK_REPLY_ARRAY(r, 0);
    CHECK_PTR(r->element, NULL);
    freeReplyObject(r);
}

TEST(reader_values, arrays_nest, "53") {
    CHECK_STR(PARSED("*1\r\n+a\r\n"), "*[+a]");
    CHECK_STR(PARSED("*3\r\n*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n-e\r\n"), "*[*[] *[:1 *[\"x\"]] -e]");
    CHECK_STR(PARSED("*2\r\n*1\r\n*1\r\n:1\r\n:2\r\n"), "*[*[*[:1]] :2]");
}

TEST(reader_values, wide_arrays_keep_the_order, "84") {
    static const int counts[] = {1, 2, 7, 8, 9, 63, 64, 65, 1000, 100000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        int n = counts[i];
        char *bytes = test_bytes((size_t)n * 12 + 32), *p = bytes;
        p += sprintf(p, "*%d\r\n", n);
        for (int k = 0; k < n; k++) p += sprintf(p, ":%d\r\n", k);
        redisReply *r = parse(bytes, (size_t)(p - bytes));
        CHECK_REPLY_ARRAY(r, (size_t)n);
        for (int k = 0; k < n; k++) CHECK_REPLY_INT(r->element[k], k);
        freeReplyObject(r);
    }
}

#if HIREDIS_MAJOR >= 1

/* ---- RESP3 ----------------------------------------------------------------------------- */

TEST(reader_values, nil_has_a_form_of_its_own, "52") {
    redisReply *r = PARSE("_\r\n");
    CHECK_REPLY_NIL(r);
    freeReplyObject(r);
    CHECK_STR(PARSED("*4\r\n_\r\n$-1\r\n*-1\r\n=-1\r\n"), "*[nil nil nil nil]");
}

TEST(reader_values, empty_and_null_aggregates_of_every_kind, "53 64") {
    static const struct {
        char byte;
        int type;
    } kinds[] = {{'*', REDIS_REPLY_ARRAY},
                 {'%', REDIS_REPLY_MAP},
                 {'~', REDIS_REPLY_SET},
                 {'|', REDIS_REPLY_ATTR},
                 {'>', REDIS_REPLY_PUSH}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const char *bytes = test_printf("%c0\r\n", kinds[i].byte);
        redisReply *r = parse(bytes, strlen(bytes));
        CHECK_REPLY_ELEMENTS(r, kinds[i].type, 0);
        CHECK_PTR(r->element, NULL);
        freeReplyObject(r);
        bytes = test_printf("%c-1\r\n", kinds[i].byte);
        r = parse(bytes, strlen(bytes));
        CHECK_REPLY_NIL(r);
        freeReplyObject(r);
    }
}

TEST(reader_values, a_verbatim_string_is_split_from_its_type, "54") {
    redisReply *r = PARSE("=10\r\ntxt:LOLWUT\r\n");
    CHECK_REPLY(r, REDIS_REPLY_VERB, "LOLWUT");
    CHECK_STR(r->vtype, "txt");
    CHECK_UINT(r->len, 6);
    freeReplyObject(r);
    r = PARSE("=4\r\nmkd:\r\n");
    CHECK_REPLY(r, REDIS_REPLY_VERB, "");
    CHECK_STR(r->vtype, "mkd");
    freeReplyObject(r);
    r = PARSE("=9\r\n\0\r\n:a\0:\r\n\r\n");
    CHECK_REPLY(r, REDIS_REPLY_VERB, "a\0:\r\n");
    CHECK_MEM(r->vtype, 4, "\0\r\n\0");
    freeReplyObject(r);
}

TEST(reader_values, a_push_is_delivered_as_a_reply, "55") {
    redisReply *r = PARSE(">2\r\n$6\r\nLOLWUT\r\n:42\r\n");
    CHECK_REPLY_ELEMENTS(r, REDIS_REPLY_PUSH, 2);
    CHECK(redisIsPushReply(r));
    CHECK_REPLY_STRING(r->element[0], "LOLWUT");
    CHECK_REPLY_INT(r->element[1], 42);
    freeReplyObject(r);
    r = PARSE("*0\r\n");
    CHECK(!redisIsPushReply(r));
    freeReplyObject(r);
}

TEST(reader_values, bools_are_integers_zero_and_one, "60") {
    static const char letters[] = "tTfF";
    for (int i = 0; i < 4; i++) {
        const char *bytes = test_printf("#%c\r\n", letters[i]);
        redisReply *r = parse(bytes, 4);
        CHECK_INT(r->type, REDIS_REPLY_BOOL);
        CHECK_INT(r->integer, i < 2);
        freeReplyObject(r);
    }
}

TEST(reader_values, maps_and_attributes_count_keys_and_values, "61 209") {
    redisReply *r = PARSE("%2\r\n+first\r\n:123\r\n$6\r\nsecond\r\n#t\r\n");
    CHECK_REPLY_ELEMENTS(r, REDIS_REPLY_MAP, 4);
    CHECK_STR(reply_text(r), "%[+first :123 \"second\" #t]");
    freeReplyObject(r);
    r = PARSE("|2\r\n+first\r\n:123\r\n$6\r\nsecond\r\n#f\r\n");
    CHECK_REPLY_ELEMENTS(r, REDIS_REPLY_ATTR, 4);
    CHECK_STR(reply_text(r), "|[+first :123 \"second\" #f]");
    freeReplyObject(r);
    CHECK_STR(PARSED("%1\r\n*1\r\n+k\r\n%1\r\n:1\r\n_\r\n"), "%[*[+k] %[:1 nil]]");
}

TEST(reader_values, a_set_has_its_members_in_order, "61") {
    redisReply *r = PARSE("~5\r\n+orange\r\n$5\r\napple\r\n#f\r\n:100\r\n:999\r\n");
    CHECK_REPLY_ELEMENTS(r, REDIS_REPLY_SET, 5);
    CHECK_STR(reply_text(r), "~[+orange \"apple\" #f :100 :999]");
    freeReplyObject(r);
}

TEST(reader_values, big_numbers_keep_their_text, "62") {
    redisReply *r = PARSE("(3492890328409238509324850943850943825024385\r\n");
    CHECK_REPLY(r, REDIS_REPLY_BIGNUM, "3492890328409238509324850943850943825024385");
    CHECK_UINT(r->len, 43);
    freeReplyObject(r);
    static const char *const texts[] = {
        "0", "-1", "-0", "007", "", "-", "-3492890328409238509324850943850943825024385"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *bytes = test_printf("(%s\r\n", texts[i]);
        r = parse(bytes, strlen(bytes));
        CHECK_INT(r->type, REDIS_REPLY_BIGNUM);
        CHECK_STR(r->str, texts[i]);
        CHECK_UINT(r->len, strlen(texts[i]));
        freeReplyObject(r);
    }
}

/* ---- Doubles --------------------------------------------------------------------------- */

static double parsed_double(const char *text) {
    const char *bytes = test_printf(",%s\r\n", text);
    redisReply *r = parse(bytes, strlen(bytes));
    CHECK_INT(r->type, REDIS_REPLY_DOUBLE);
    CHECK_STR(r->str, text);
    CHECK_UINT(r->len, strlen(text));
    double value = r->dval;
    freeReplyObject(r);
    return value;
}

static void check_bits(const char *text, double got, double want) {
    uint64_t g, w;
    memcpy(&g, &got, sizeof(g));
    memcpy(&w, &want, sizeof(w));
    if (g != w) FAIL("%s: got %a, wanted %a", text, got, want);
}

TEST(reader_values, a_double_keeps_its_text, "56") {
    redisReply *r = PARSE(",3.14159265358979323846\r\n");
    CHECK_REPLY(r, REDIS_REPLY_DOUBLE, "3.14159265358979323846");
    check_bits(r->str, r->dval, 3.14159265358979323846);
    CHECK_UINT(r->len, 22);
    freeReplyObject(r);
    r = PARSE("*1\r\n,3.14159265358979323846\r\n");
    CHECK_REPLY_ARRAY(r, 1);
    CHECK_REPLY(r->element[0], REDIS_REPLY_DOUBLE, "3.14159265358979323846");
    check_bits("in an array", r->element[0]->dval, 3.14159265358979323846);
    freeReplyObject(r);
}

TEST(reader_values, doubles_are_correctly_rounded, "57") {
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0.0",
        "00",
        "0e0",
        "-0e5",
        "0e-999",
        "0e999",
        "0e99999999999999999999",
        "1.5",
        "-2.25",
        "1e308",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "5.",
        ".5",
        "-.5",
        "-5.",
        "01.50",
        "007",
        "1e+5",
        "1E5",
        "1e-5",
        "1E+05",
        "1e05",
        "0.1",
        "0.2",
        "0.3",
        "2.4703282292062328e-324",
        "4.9406564584124654e-324",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "1.7976931348623158e308",
        "179769313486231570000000000000000000000",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.0000000000000001",
        "1.00000000000000011102230246251565",
        "1.00000000000000011102230246251566",
        "123456789012345678901234567890",
        "0.000000000000000000000000000001",
        "1000000000000000000000e-21",
        "6.631236846766476e-316",
        "3.2378839133029012895883524125015321748630094445e-319",
        "1e23",
        "8.5e22",
        "9.5e-5",
        "4.35",
        "100",
        "1234567.891",
        "3.4028234664e38",
        "7.2057594037927933e16",
        "1e22",
        "1e-22",
        "1e-323",
        "1e-307",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        check_bits(texts[i], parsed_double(texts[i]), strtod(texts[i], NULL));
    CHECK(signbit(parsed_double("-0")));
    CHECK(!signbit(parsed_double("0")));
}

TEST(reader_values, long_doubles_are_correctly_rounded, "49 57") {
    /* Halfway between two neighbours but for the last of many digits. */
    const char *half = "9007199254740993.";
    const char *text = test_printf("%s%s", half, repeat("0", 300, "1"));
    check_bits(text, parsed_double(text), strtod(text, NULL));
    text = test_printf("%s%s", half, repeat("0", 301, ""));
    check_bits(text, parsed_double(text), strtod(text, NULL));
    text = test_printf("1%s", repeat("0", 308, ""));
    check_bits(text, parsed_double(text), 1e308);
    text = test_printf("0.%s5", repeat("0", 322, ""));
    check_bits(text, parsed_double(text), strtod(text, NULL));
    text = test_printf("%s", repeat("0", 325, ""));
    check_bits(text, parsed_double(text), 0);
    text = test_printf("0%se5", repeat("0", 300, "1"));
    check_bits(text, parsed_double(text), 1e5);
    text = test_printf("1e%s3", repeat("0", 300, ""));
    check_bits(text, parsed_double(text), 1e3);
}

TEST(reader_values, doubles_of_random_bits_survive_their_text, "57") {
    static const char *const formats[] = {"%.17g", "%.16e", "%.25g", "%.40g", "%.3g", "%.1f"};
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = (uint64_t)test_random() << 32 | test_random();
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) continue;
        char *text = test_printf(formats[i % 6], value);
        double want = strtod(text, NULL);
        if (strlen(text) > 325 || (want == 0 && value != 0) || !isfinite(want)) continue;
        check_bits(text, parsed_double(text), want);
    }
}

TEST(reader_values, decimal_texts_of_random_digits_are_correctly_rounded, "57") {
    for (int i = 0; i < 30000; i++) {
        char text[80], *p = text;
        if (test_random() & 1) *p++ = '-';
        uint32_t digits = 1 + test_random_below(40), point = test_random_below(digits + 1);
        for (uint32_t k = 0; k < digits; k++) {
            if (k == point) *p++ = '.';
            *p++ = (char)('0' + test_random_below(10));
        }
        p += sprintf(p, "e%d", (int)test_random_below(640) - 330);
        double want = strtod(text, NULL);
        if (!isfinite(want) || want == 0) continue;
        check_bits(text, parsed_double(text), want);
    }
}

TEST(reader_values, the_words_for_infinity_and_no_number, "58") {
    static const char *const infinities[] = {"inf", "INF", "Inf", "iNf"};
    static const char *const nans[] = {"nan", "NaN", "NAN", "-nan", "-NaN", "-NAN"};
    for (size_t i = 0; i < 4; i++) {
        check_bits(infinities[i], parsed_double(infinities[i]), (double)INFINITY);
        check_bits("negative", parsed_double(test_printf("-%s", infinities[i])), -(double)INFINITY);
    }
    for (size_t i = 0; i < 6; i++) {
        double value = parsed_double(nans[i]);
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        CHECK(isnan(value));
        CHECK_UINT(bits, 0x7ff8000000000000);
    }
}

TEST(reader_values, a_double_too_small_is_refused_or_a_signed_zero, "57") {
    static const char *const texts[] = {"1e-400", "-1e-400", "2e-324", "1e-99999999999999999999",
                                        "-2.4703282292062327e-324"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *bytes = test_printf(",%s\r\n", texts[i]);
        const char *error = read_error(bytes, strlen(bytes));
        if (strcmp(error, "Bad double value") == 0) continue;
        CHECK_STR(error, "no error");
        check_bits(texts[i], parsed_double(texts[i]), texts[i][0] == '-' ? -0.0 : 0.0);
    }
}

TEST(reader_values, doubles_do_not_depend_on_the_locale, "59") {
    test_comma_locale();
    check_bits("1.5", parsed_double("1.5"), 1.5);
    check_bits("-0.25e1", parsed_double("-0.25e1"), -2.5);
    check_bits("1e400 digits", parsed_double("123456789012345678901234567890.5"),
               123456789012345678901234567890.5);
    CHECK_STR(READ_ERROR(",1,5\r\n"), "Bad double value");
    setlocale(LC_ALL, "C");
}

/* ---- Random replies ----------------------------------------------------------------------- */

/* Writes a random reply at *p and returns what reply_text shows for it. */
static const char *random_reply(char **p, int depth) {
    static const char *const texts[] = {"", "a", "some text", "0123456789012345678901234567890123456789"};
    static const char *const doubles[] = {"0", "-1.5", "inf", "1e10", "3.25"};
    static const char kinds[] = "+-:$N_#,(=*%~>|";
    const char *text = texts[test_random_below(4)];
    char kind = kinds[test_random_below(depth > 0 ? sizeof(kinds) - 1 : 10)];
    switch (kind) {
    case '+':
    case '-': *p += sprintf(*p, "%c%s\r\n", kind, text); return test_printf("%c%s", kind, text);
    case '$': *p += sprintf(*p, "$%zu\r\n%s\r\n", strlen(text), text); return test_printf("\"%s\"", text);
    case '=':
        *p += sprintf(*p, "=%zu\r\ntxt:%s\r\n", strlen(text) + 4, text);
        return test_printf("=txt:\"%s\"", text);
    case ':': {
        long long n = (long long)((uint64_t)test_random() << 32 | test_random()) >> test_random_below(64);
        *p += sprintf(*p, ":%lld\r\n", n);
        return test_printf(":%lld", n);
    }
    case '(':
        *p += sprintf(*p, "(-123456789012345678901234567890\r\n");
        return "(-123456789012345678901234567890";
    case ',':
        text = doubles[test_random_below(5)];
        *p += sprintf(*p, ",%s\r\n", text);
        return test_printf(",%s", text);
    case '#':
        text = test_random() & 1 ? "#t" : "#f";
        *p += sprintf(*p, "%s\r\n", text);
        return text;
    case '_': *p += sprintf(*p, "_\r\n"); return "nil";
    case 'N': *p += sprintf(*p, "%c-1\r\n", "$*=%~>|"[test_random_below(7)]); return "nil";
    }
    uint32_t n = test_random_below(6), items = kind == '%' || kind == '|' ? 2 * n : n;
    *p += sprintf(*p, "%c%u\r\n", kind, (unsigned)n);
    const char *shown = test_printf("%c[", kind);
    for (uint32_t i = 0; i < items; i++) {
        const char *item = random_reply(p, depth - 1);
        shown = test_printf("%s%s%s", shown, i > 0 ? " " : "", item);
    }
    return test_printf("%s]", shown);
}

TEST(reader_values, random_replies_of_every_type_are_read, "67") {
    char *bytes = test_bytes(4 << 20);
    for (int round = 0; round < 500; round++) {
        const char *want[8];
        char *p = bytes;
        int n = 1 + (int)test_random_below(8), got = 0;
        for (int i = 0; i < n; i++) want[i] = random_reply(&p, 4);
        size_t len = (size_t)(p - bytes), most = round % 3 == 0 ? len : 1 + test_random_below(200);
        alloc_count_begin();
        redisReader *r = redisReaderCreate();
        for (size_t at = 0; at < len;) {
            size_t piece = 1 + test_random_below(most);
            if (piece > len - at) piece = len - at;
            feed(r, bytes + at, piece);
            at += piece;
            for (redisReply *reply; (reply = read_reply(r)) != NULL; got++) {
                CHECK(got < n);
                const char *text = reply_text(reply);
                if (strcmp(text, want[got]) != 0)
                    FAIL("seed %u, round %d: got %s, wanted %s", test_seed(), round, text, want[got]);
                freeReplyObject(reply);
            }
        }
        CHECK_INT(got, n);
        redisReaderFree(r);
        alloc_count_end();
    }
}

/* ---- Reply objects ------------------------------------------------------------------------ */

TEST(reader_values, fields_a_type_does_not_use_are_zero, "65") {
    static const struct {
        const char *bytes;
        int type;
        unsigned uses; /* 1 integer, 2 dval, 4 str and len, 8 vtype, 16 elements */
    } cases[] = {
        {"+OK\r\n", REDIS_REPLY_STATUS, 4},
        {"-ERR\r\n", REDIS_REPLY_ERROR, 4},
        {"$3\r\nfoo\r\n", REDIS_REPLY_STRING, 4},
        {":5\r\n", REDIS_REPLY_INTEGER, 1},
        {"$-1\r\n", REDIS_REPLY_NIL, 0},
        {"*-1\r\n", REDIS_REPLY_NIL, 0},
        {"_\r\n", REDIS_REPLY_NIL, 0},
        {",1.5\r\n", REDIS_REPLY_DOUBLE, 6},
        {"#t\r\n", REDIS_REPLY_BOOL, 1},
        {"(12\r\n", REDIS_REPLY_BIGNUM, 4},
        {"=5\r\ntxt:x\r\n", REDIS_REPLY_VERB, 12},
        {"*1\r\n:1\r\n", REDIS_REPLY_ARRAY, 16},
        {"*0\r\n", REDIS_REPLY_ARRAY, 0},
        {"%1\r\n:1\r\n:2\r\n", REDIS_REPLY_MAP, 16},
        {"~1\r\n:1\r\n", REDIS_REPLY_SET, 16},
        {"|1\r\n:1\r\n:2\r\n", REDIS_REPLY_ATTR, 16},
        {">1\r\n:1\r\n", REDIS_REPLY_PUSH, 16},
    };
    alloc_count_begin(); /* new blocks are full of 0xa5 */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unsigned uses = cases[i].uses;
        redisReply *r = parse(cases[i].bytes, strlen(cases[i].bytes));
        CHECK_INT(r->type, cases[i].type);
        if (!(uses & 1)) CHECK_INT(r->integer, 0);
        if (!(uses & 2)) check_bits(cases[i].bytes, r->dval, 0.0);
        if (!(uses & 4)) CHECK_PTR(r->str, NULL);
        if (!(uses & 4)) CHECK_UINT(r->len, 0);
        if (!(uses & 8)) CHECK_MEM(r->vtype, 4, "\0\0\0\0");
        if (!(uses & 16)) CHECK_UINT(r->elements, 0);
        if (!(uses & 16)) CHECK_PTR(r->element, NULL);
        freeReplyObject(r);
    }
    alloc_count_end();
}

TEST(reader_values, every_part_of_a_reply_is_a_block_of_its_own, "6 65") {
    alloc_count_begin();
    redisReply *r = PARSE("*4\r\n$5\r\nhello\r\n,1.5\r\n*1\r\n=5\r\ntxt:x\r\n:1\r\n");
    CHECK(alloc_owns(r));
    CHECK(alloc_owns(r->element));
    for (size_t i = 0; i < 4; i++) CHECK(alloc_owns(r->element[i]));
    CHECK(alloc_owns(r->element[0]->str));
    CHECK(alloc_owns(r->element[1]->str));
    CHECK(alloc_owns(r->element[2]->element));
    CHECK(alloc_owns(r->element[2]->element[0]->str));
    CHECK_UINT(alloc_live(), 11);

    /* A program takes the reply apart and frees the pieces on their own. */
    redisReply *taken = r->element[2];
    r->element[2] = NULL;
    char *str = r->element[0]->str;
    r->element[0]->str = NULL;
    redisReply *last = r->element[3];
    r->elements = 3;
    freeReplyObject(r);
    CHECK_UINT(alloc_live(), 6);
    CHECK_STR(reply_text(taken), "*[=txt:\"x\"]");
    CHECK_STR(str, "hello");
    hi_free(str);
    freeReplyObject(last);
    freeReplyObject(taken);
    alloc_count_end();
}

TEST(reader_values, the_text_of_a_reply_may_be_written, "65") {
    redisReply *r = PARSE("-MOVED 3999 127.0.0.1:6381\r\n");
    *strchr(r->str, ' ') = '\0';
    CHECK_STR(r->str, "MOVED");
    freeReplyObject(r);
}

/* ---- freeReplyObject ------------------------------------------------------------------------ */

static redisReply *built(int type) {
    redisReply *r = hi_calloc(1, sizeof(*r));
    CHECK(r != NULL);
    r->type = type;
    return r;
}

static redisReply *built_text(int type, const char *text) {
    redisReply *r = built(type);
    r->len = strlen(text);
    r->str = hi_malloc(r->len + 1);
    CHECK(r->str != NULL);
    memcpy(r->str, text, r->len + 1);
    return r;
}

static redisReply *built_aggregate(int type, size_t n) {
    redisReply *r = built(type);
    r->elements = n;
    r->element = hi_calloc(n, sizeof(*r->element));
    CHECK(r->element != NULL);
    return r;
}

TEST(reader_values, null_may_be_freed, "66") { freeReplyObject(NULL); }

TEST(reader_values, replies_built_by_the_program_are_freed, "6 66") {
    static const int texts[] = {REDIS_REPLY_STRING, REDIS_REPLY_STATUS, REDIS_REPLY_ERROR,
                                REDIS_REPLY_DOUBLE, REDIS_REPLY_BIGNUM, REDIS_REPLY_VERB};
    static const int aggregates[] = {REDIS_REPLY_ARRAY, REDIS_REPLY_MAP, REDIS_REPLY_SET, REDIS_REPLY_ATTR,
                                     REDIS_REPLY_PUSH};
    static const int plain[] = {REDIS_REPLY_INTEGER, REDIS_REPLY_NIL, REDIS_REPLY_BOOL};
    alloc_count_begin();
    redisReply *root = built_aggregate(REDIS_REPLY_ARRAY, 5);
    for (size_t i = 0; i < 5; i++) {
        redisReply *r = root->element[i] = built_aggregate(aggregates[i], 10);
        for (size_t k = 0; k < 6; k++) r->element[k] = built_text(texts[k], "some text");
        for (size_t k = 0; k < 3; k++) r->element[6 + k] = built(plain[k]);
        /* the tenth stays NULL */
    }
    CHECK_UINT(alloc_live(), 2 + 5 * (2 + 12 + 3));
    freeReplyObject(root);
    CHECK_UINT(alloc_live(), 0);

    freeReplyObject(built_text(REDIS_REPLY_STRING, ""));
    freeReplyObject(built(REDIS_REPLY_STRING));
    freeReplyObject(built(REDIS_REPLY_ARRAY));
    alloc_count_end();
}

TEST(reader_values, an_unknown_type_frees_the_record_only, "66") {
    alloc_count_begin();
    static const int types[] = {0, 15, 99, -1, REDIS_REPLY_INTEGER, REDIS_REPLY_NIL, REDIS_REPLY_BOOL};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        redisReply *r = built_text(types[i], "kept");
        char *str = r->str;
        freeReplyObject(r);
        CHECK_UINT(alloc_live(), 1);
        CHECK_STR(str, "kept");
        hi_free(str);
    }
    alloc_count_end();
}

TEST(reader_values, a_count_without_a_vector_is_tolerated, "66") {
    alloc_count_begin();
    redisReply *r = built(REDIS_REPLY_ARRAY);
    r->elements = 3;
    freeReplyObject(r);
    alloc_count_end();
}

TEST(reader_values, the_type_may_be_changed_before_the_free, "66") {
    alloc_count_begin();
    redisReply *r = PARSE("*0\r\n");
    r->type = REDIS_REPLY_NIL;
    freeReplyObject(r);
    alloc_count_end();
}

TEST(reader_values, a_subtree_may_move_to_another_reply, "66") {
    alloc_count_begin();
    redisReply *a = PARSE("*2\r\n*2\r\n$3\r\nfoo\r\n:1\r\n+x\r\n"),
               *b = built_aggregate(REDIS_REPLY_ARRAY, 2);
    b->element[0] = a->element[0];
    b->element[1] = a->element[1]; /* the last child: hiredis-cluster lowers the count instead */
    a->element[0] = NULL;
    a->elements = 1;
    freeReplyObject(a);
    CHECK_STR(reply_text(b), "*[*[\"foo\" :1] +x]");
    freeReplyObject(b);
    alloc_count_end();
}

TEST(reader_values, a_reply_of_extreme_depth_is_freed_without_recursion, "87") {
    alloc_count_begin();
    redisReply *root = built_aggregate(REDIS_REPLY_ARRAY, 1), *r = root;
    for (int i = 0; i < 500000; i++) {
        /* Siblings on both sides, so that the order of the walk matters. */
        r->element[0] = built_aggregate(i % 2 ? REDIS_REPLY_MAP : REDIS_REPLY_ARRAY, i % 3 + 1);
        r->element[0]->element[i % 3] = built_text(REDIS_REPLY_STATUS, "leaf");
        r = r->element[0];
        if (i % 3 == 0) {
            /* Its only slot is the way down. */
            freeReplyObject(r->element[0]);
            r->element[0] = NULL;
        }
    }
    freeReplyObject(root);
    alloc_count_end();
}

#ifdef REDIS_READER_MAX_REPLY_DEPTH
TEST(reader_values, a_parsed_reply_of_extreme_depth_is_freed_without_recursion, "40 87") {
    alloc_count_begin();
    redisReader *reader = redisReaderCreate();
    reader->maxdepth = 0;
    const char *bytes = repeat("*1\r\n", 300000, "+leaf\r\n");
    feed(reader, bytes, strlen(bytes));
    redisReply *r = read_reply(reader);
    CHECK_REPLY_ARRAY(r, 1);
    freeReplyObject(r);
    /* A half-built tree is freed as well. */
    feed(reader, bytes, strlen(bytes) - 7);
    CHECK_PTR(read_reply(reader), NULL);
    redisReaderFree(reader);
    alloc_count_end();
}
#endif

#endif
