/* Command formatting: argument lists and format strings to the wire form. */
#include "test.h"

#include <float.h>
#include <limits.h>
#include <locale.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The format functions write only on success; this is what a target holds before. */
static char untouched[] = "untouched";

/* The wire form of n arguments, made the slow and obvious way. */
static char *wire(size_t *len, int argc, const char *const *argv, const size_t *lens) {
    size_t room = 64, n = 0;
    for (int i = 0; i < argc; i++) room += lens[i] + 32;
    char *out = test_bytes(room);
    n += (size_t)sprintf(out, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        n += (size_t)sprintf(out + n, "$%zu\r\n", lens[i]);
        if (lens[i] > 0) memcpy(out + n, argv[i], lens[i]);
        n += lens[i];
        memcpy(out + n, "\r\n", 2);
        n += 2;
    }
    *len = n;
    return out;
}

/* A command without NULs, kept until the test ends, or the text "error". */
static const char *formatted(const char *format, ...) {
    char *cmd = untouched;
    va_list ap;
    va_start(ap, format);
    int len = redisvFormatCommand(&cmd, format, ap);
    va_end(ap);
    if (len < 0) {
        CHECK_PTR(cmd, untouched);
        CHECK_INT(len, -2);
        return "error";
    }
    CHECK_INT(strlen(cmd), len);
    char *kept = test_printf("%s", cmd);
    redisFreeCommand(cmd);
    return kept;
}

/* ---- Format strings --------------------------------------------------------------- */

TEST(format, command_has_its_wire_form_and_exact_length, "8 18") {
    char *cmd;
    int len = redisFormatCommand(&cmd, "SET foo bar");
    CHECK_MEM(cmd, len, "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$3\r\nbar\r\n");
    CHECK_INT(cmd[len], 0);
    redisFreeCommand(cmd);
}

TEST(format, strings_are_interpolated, "9") {
    CHECK_STR(formatted("SET %s %s", "foo", "bar"), "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$3\r\nbar\r\n");
    CHECK_STR(formatted("SET %s %s", "foo", ""), "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$0\r\n\r\n");
    CHECK_STR(formatted("SET %s %s", "", "foo"), "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\nfoo\r\n");
    CHECK_STR(formatted("%s", ""), "*1\r\n$0\r\n\r\n");
    CHECK_STR(formatted("%s%s", "", ""), "*1\r\n$0\r\n\r\n");
    CHECK_STR(formatted("%s%s", "ab", "cd"), "*1\r\n$4\r\nabcd\r\n");
    CHECK_STR(formatted("GET user:%s:name", "42"), "*2\r\n$3\r\nGET\r\n$12\r\nuser:42:name\r\n");
}

TEST(format, spaces_in_an_interpolated_string_do_not_split, "24") {
    CHECK_STR(formatted("SET k %s", " a b "), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n a b \r\n");
    CHECK_STR(formatted("a%sb", "x y"), "*1\r\n$5\r\nax yb\r\n");
    CHECK_STR(formatted("%b", " ", (size_t)1), "*1\r\n$1\r\n \r\n");
}

TEST(format, binary_arguments_take_their_size, "10 18") {
    char *cmd;
    int len = redisFormatCommand(&cmd, "SET %b %b", "foo", (size_t)3, "b\0r", (size_t)3);
    CHECK_MEM(cmd, len, "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$3\r\nb\0r\r\n");
    CHECK_INT(cmd[len], 0);
    redisFreeCommand(cmd);
    len = redisFormatCommand(&cmd, "SET %b %b", "foo", (size_t)3, "", (size_t)0);
    CHECK_MEM(cmd, len, "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$0\r\n\r\n");
    redisFreeCommand(cmd);
    len = redisFormatCommand(&cmd, "%b", NULL, (size_t)0);
    CHECK_MEM(cmd, len, "*1\r\n$0\r\n\r\n");
    redisFreeCommand(cmd);
    len = redisFormatCommand(&cmd, "<%b|%b>", "a\0", (size_t)2, "\0b", (size_t)2);
    CHECK_MEM(cmd, len, "*1\r\n$7\r\n<a\0|\0b>\r\n");
    redisFreeCommand(cmd);
}

TEST(format, two_percent_signs_are_one, "11") {
    CHECK_STR(formatted("SET %% %%"), "*3\r\n$3\r\nSET\r\n$1\r\n%\r\n$1\r\n%\r\n");
    CHECK_STR(formatted("100%%"), "*1\r\n$4\r\n100%\r\n");
    CHECK_STR(formatted("%%s"), "*1\r\n$2\r\n%s\r\n");
}

TEST(format, a_percent_sign_at_the_end_is_literal, "20") {
    CHECK_STR(formatted("%"), "*1\r\n$1\r\n%\r\n");
    CHECK_STR(formatted("SET k 100%"), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n100%\r\n");
    CHECK_STR(formatted("a %"), "*2\r\n$1\r\na\r\n$1\r\n%\r\n");
    CHECK_STR(formatted("%%%"), "*1\r\n$2\r\n%%\r\n");
}

TEST(format, blank_formats_have_no_arguments, "19") {
    CHECK_STR(formatted(""), "*0\r\n");
    CHECK_STR(formatted(" "), "*0\r\n");
    CHECK_STR(formatted("      "), "*0\r\n");
}

TEST(format, runs_of_spaces_separate_once, "19") {
    CHECK_STR(formatted("  a   b  "), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    CHECK_STR(formatted(" %s ", "a"), "*1\r\n$1\r\na\r\n");
}

TEST(format, only_the_space_separates, "23") {
    CHECK_STR(formatted("a\tb\nc\r\n d"), "*2\r\n$7\r\na\tb\nc\r\n\r\n$1\r\nd\r\n");
    CHECK_STR(formatted("DEBUG SLEEP 0\r\n"), "*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$3\r\n0\r\n\r\n");
    CHECK_STR(formatted("\t"), "*1\r\n$1\r\n\t\r\n");
}

TEST(format, quotes_mean_nothing, "23") {
    CHECK_STR(formatted("SET 'a b\" \\"), "*4\r\n$3\r\nSET\r\n$2\r\n'a\r\n$2\r\nb\"\r\n$1\r\n\\\r\n");
}

TEST(format, bytes_above_ascii_pass, "23") {
    CHECK_STR(formatted("GET \xc3\xa9\xff %s", "\xa0"),
              "*3\r\n$3\r\nGET\r\n$3\r\n\xc3\xa9\xff\r\n$1\r\n\xa0\r\n");
}

/* ---- printf conversions -------------------------------------------------------------- */

#define CONVERSION(conv, value) \
    do { \
        char text[64]; \
        snprintf(text, sizeof(text), "%08" conv, value); \
        CHECK_STR(formatted("key:%08" conv " str:%s", value, "hello"), \
                  test_printf("*2\r\n$%zu\r\nkey:%s\r\n$9\r\nstr:hello\r\n", strlen(text) + 4, text)); \
    } while (0)

TEST(format, integer_conversions_take_an_argument_of_their_width, "12") {
    CONVERSION("d", 123);
    CONVERSION("hhd", (signed char)-123);
    CONVERSION("hd", (short)-12345);
    CONVERSION("ld", -1234567890123L);
    CONVERSION("lld", -1234567890123456LL);
    CONVERSION("i", INT_MIN);
    CONVERSION("lli", LLONG_MIN);
    CONVERSION("u", 4000000000u);
    CONVERSION("hhu", (unsigned char)200);
    CONVERSION("hu", (unsigned short)60000);
    CONVERSION("lu", ULONG_MAX);
    CONVERSION("llu", ULLONG_MAX);
    CONVERSION("o", 0777u);
    CONVERSION("x", 0xbeefu);
    CONVERSION("X", 0xbeefu);
    CONVERSION("llx", 0xdeadbeefcafeULL);
}

TEST(format, float_and_double_are_printed, "13") {
    float f = 3.0f;
    CHECK_STR(formatted("key:%08.3f str:%s", f, "hello"), "*2\r\n$12\r\nkey:0003.000\r\n$9\r\nstr:hello\r\n");
    CHECK_STR(formatted("key:%08.3f str:%s", 3.14159, "hello"),
              "*2\r\n$12\r\nkey:0003.142\r\n$9\r\nstr:hello\r\n");
}

TEST(format, mixed_conversions_take_their_arguments_in_order, "12 13") {
    CHECK_STR(
        formatted("%d %f %s %lld %b %g %hhd %s", 1, 2.5, "three", 4LL, "fi\0ve", (size_t)2, 6.0, 7, "eight"),
        "*8\r\n$1\r\n1\r\n$8\r\n2.500000\r\n$5\r\nthree\r\n$1\r\n4\r\n$2\r\nfi\r\n$1\r\n6\r\n$1\r\n7\r\n"
        "$5\r\neight\r\n");
    /* More of each kind than registers carry. */
    CHECK_STR(formatted("%d%d%d%d%d%d%d%d %g%g%g%g%g%g%g%g%g%g %s", 1, 2, 3, 4, 5, 6, 7, 8, 1.0, 2.0, 3.0,
                        4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0, "end"),
              "*3\r\n$8\r\n12345678\r\n$10\r\n1234567890\r\n$3\r\nend\r\n");
}

TEST(format, a_format_may_have_any_number_of_pieces, "9 12") {
    for (int pieces = 1; pieces < 80; pieces++) {
        for (int separate = 0; separate < 2; separate++) {
            /* "%s" and "-" in turn, with and without spaces between. */
            const char *format = "", *want = "";
            for (int i = 0; i < pieces; i++) {
                format = test_printf("%s%s%s", format, separate && i > 0 ? " " : "", i % 2 ? "-" : "%s");
                if (separate) want = test_printf("%s$1\r\n%s\r\n", want, i % 2 ? "-" : "x");
                else want = test_printf("%s%s", want, i % 2 ? "-" : "x");
            }
            if (separate) want = test_printf("*%d\r\n%s", pieces, want);
            else want = test_printf("*1\r\n$%d\r\n%s\r\n", pieces, want);
            const char *x = "x";
            CHECK_STR(formatted(format, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x,
                                x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x),
                      want);
        }
    }
}

TEST(format, an_int_is_swallowed_by_a_percent_sign_before_a_d, "22") {
    CHECK_STR(formatted("100% done", 7), "*1\r\n$8\r\n100 7one\r\n");
    CHECK_STR(formatted("100% sure"), "error");
}

TEST(format, a_conversion_may_be_wide, "14") {
    const char *got = formatted("%1000d", 7);
    CHECK_UINT(strlen(got), 4 + 7 + 1000 + 2);
    CHECK_STR(got + 4 + 7 + 998, " 7\r\n");
    CHECK_UINT(strlen(formatted("%.1000f", 1.0)), 4 + 7 + 1002 + 2);
    CHECK_UINT(strlen(formatted("%f", DBL_MAX)), 4 + 6 + 316 + 2);
    CHECK_UINT(strlen(formatted("%100000d", 7)), 4 + 9 + 100000 + 2);
    CHECK_UINT(strlen(formatted("%-99999.9dx", 7)), 4 + 9 + 100000 + 2);
}

/* Every combination of flags, width and precision with a conversion, against the C library. */

static const char *const widths[] = {"", "1", "5", "12"};
static const char *const precisions[] = {"", ".", ".0", ".3", ".9"};

static char *flags_of(int set, char *out) {
    static const char flags[] = "# 0-+";
    char *p = out;
    for (int i = 0; i < 5; i++) {
        if (set & 1 << i) *p++ = flags[i];
    }
    *p = '\0';
    return out;
}

static void compare(const char *spec, const char *want, int wantlen, const char *cmd, int len) {
    char expected[700];
    int n = snprintf(expected, sizeof(expected), "*2\r\n$1\r\nx\r\n$%d\r\n<%s>\r\n", wantlen + 2, want);
    if (n != len || memcmp(cmd, expected, (size_t)len) != 0)
        FAIL("%s: got %s, wanted %s", spec, cmd, expected);
}

#define AGAINST_PRINTF(spec, value) \
    do { \
        char want[600], format[64], *cmd = untouched; \
        int wantlen = snprintf(want, sizeof(want), spec, value); \
        snprintf(format, sizeof(format), "x <%s>", spec); \
        int len = redisFormatCommand(&cmd, format, value); \
        if (len < 0) FAIL("%s is refused", spec); \
        compare(spec, want, wantlen, cmd, len); \
        redisFreeCommand(cmd); \
    } while (0)

TEST(format, every_integer_conversion_prints_like_the_c_library, "12") {
    static const long long values[] = {0,     1,       -1,      42,        255,      -129,
                                       65537, INT_MAX, INT_MIN, LLONG_MAX, LLONG_MIN};
    static const char *const lengths[] = {"", "hh", "h", "l", "ll"};
    char flags[8], spec[32];
    for (int set = 0; set < 32; set++)
        for (size_t w = 0; w < 4; w++)
            for (size_t p = 0; p < 5; p++)
                for (size_t l = 0; l < 5; l++)
                    for (const char *c = "diouxX"; *c != '\0'; c++) {
                        snprintf(spec, sizeof(spec), "%%%s%s%s%s%c", flags_of(set, flags), widths[w],
                                 precisions[p], lengths[l], *c);
                        for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++) {
                            if (l == 4) AGAINST_PRINTF(spec, values[v]);
                            else if (l == 3) AGAINST_PRINTF(spec, (long)values[v]);
                            else AGAINST_PRINTF(spec, (int)values[v]);
                        }
                    }
}

TEST(format, every_floating_conversion_prints_like_the_c_library, "13") {
    static const double values[] = {0.0,  -0.0,   1.0,   -1.5,    3.14159265358979,
                                    1e10, 1.5e-7, 1e300, DBL_MIN, 123456789.5};
    char flags[8], spec[32];
    for (int set = 0; set < 32; set++)
        for (size_t w = 0; w < 4; w++)
            for (size_t p = 0; p < 5; p++)
                for (const char *c = "eEfFgGaA"; *c != '\0'; c++) {
                    snprintf(spec, sizeof(spec), "%%%s%s%s%c", flags_of(set, flags), widths[w], precisions[p],
                             *c);
                    for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++)
                        AGAINST_PRINTF(spec, values[v]);
                    AGAINST_PRINTF(spec, (double)INFINITY);
                    AGAINST_PRINTF(spec, -(double)INFINITY);
                    AGAINST_PRINTF(spec, (double)NAN);
                }
}

TEST(format, flags_may_come_in_any_order_and_repeat, "12") {
    static const char *const specs[] = {"%-+5d", "%+-5d", "%  d",  "%00d",  "%++d", "%0-5d",
                                        "%#-8x", "%-#8x", "%+08d", "%0+8d", "% +d", "%#o"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
        AGAINST_PRINTF(specs[i], 42);
        AGAINST_PRINTF(specs[i], -42);
    }
}

TEST(format, floats_follow_the_process_locale, "13") {
    test_comma_locale();
    CHECK_STR(formatted("%.2f %g", 1.5, 2.25), "*2\r\n$4\r\n1,50\r\n$4\r\n2,25\r\n");
    AGAINST_PRINTF("%08.3f", 3.14159);
    AGAINST_PRINTF("%e", -12345.678);
}

TEST(format, an_overlong_conversion_is_printed_or_refused, "14") {
    static const char *const specs[] = {"%0000000000012d", "%-+ #0000000000000000000005d",
                                        "%12.000000000000000003d"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
        char *cmd = untouched, want[64], expected[128];
        int len = redisFormatCommand(&cmd, specs[i], 42);
        if (len < 0) {
            CHECK_PTR(cmd, untouched);
            continue;
        }
        snprintf(want, sizeof(want), specs[i], 42);
        snprintf(expected, sizeof(expected), "*1\r\n$%zu\r\n%s\r\n", strlen(want), want);
        CHECK_MEM_N(cmd, len, expected, strlen(expected));
        redisFreeCommand(cmd);
    }
}

/* ---- Failures ------------------------------------------------------------------------- */

/* Each on its own, after other text, and after a %s: never accepted. */
static void check_refused(const char *const *bad, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char *cmd = untouched;
        const char *formats[] = {bad[i], test_printf("SET key:%s", bad[i]),
                                 test_printf("SET %%s a%s", bad[i])};
        for (int k = 0; k < 3; k++) {
            alloc_count_begin();
            int len = redisFormatCommand(&cmd, formats[k], "text", 2, 3, 4, 5);
            if (len != -1) FAIL("\"%s\" gives %d", formats[k], len);
            CHECK_PTR(cmd, untouched);
            CHECK_STR(formatted(formats[k], "text", 2, 3, 4, 5), "error");
            alloc_count_end();
        }
    }
}

TEST(format, a_bad_conversion_is_an_error_and_leaves_the_target, "14 15 16 21") {
    static const char *const bad[] = {
        "%p",    "%08p",   "%c",   "%n",     "%zu",   "%zd",     "%jd",    "%td", "%qd",  "%Lf",
        "%Ld",   "%lf",    "%lg",  "%hf",    "%llf",  "%ls",     "%hs",    "%lc", "%lb",  "%*d",
        "%.*d",  "%-*d",   "%5s",  "%.1s",   "%-s",   "%5b",     "%0b",    "%5%", "% %",  "%llld",
        "%hhhd", "%lhd",   "%hld", "%w",     "%k",    "%D",      "%U",     "%O",  "%S",   "%C",
        "%m",    "%\n",    "%\t",  "%\xff",  "%5$d",  "%1$s",    "%'d",    "%I",  "%- s", "%.-3d",
        "%5-d",  "%.3.3d", "%l d", "%5.3lq", "%\xb2", "%5\xb9z", "%\xb3z",
    };
    check_refused(bad, sizeof(bad) / sizeof(*bad));
}

TEST(format, an_incomplete_conversion_is_an_error, "14 15 16") {
    static const char *const bad[] = {"%-", "%5", "%.", "%.5", "%l",  "%ll",   "%h",  "%hh",
                                      "%+", "%#", "% ", "%0",  "%5.", "%5.3l", "%-5", "%--"};
    check_refused(bad, sizeof(bad) / sizeof(*bad));
}

TEST(format, text_after_a_bad_conversion_does_not_save_it, "14 21") {
    static const char *const bad[] = {"%zu x", "SET %c y %s", "%5s z", "%lf a b", "% % d"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char *cmd = untouched;
        CHECK_INT(redisFormatCommand(&cmd, bad[i], "text", "text", "text"), -1);
        CHECK_PTR(cmd, untouched);
    }
}

static int vformat(char **target, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int len = redisvFormatCommand(target, format, ap);
    va_end(ap);
    return len;
}

TEST(format, the_argument_list_form_tells_bad_formats_apart, "16") {
    char *cmd = untouched;
    CHECK_INT(vformat(&cmd, "SET %zu", (size_t)1), -2);
    CHECK_INT(vformat(&cmd, "%5"), -2);
    CHECK_PTR(cmd, untouched);
    CHECK_INT(vformat(&cmd, "GET %s", "k"), 20);
    CHECK_STR(cmd, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    redisFreeCommand(cmd);
}

TEST(format, a_null_target_is_refused, "25") {
    const char *argv[] = {"PING"};
    size_t lens[] = {4};
    CHECK_INT(redisFormatCommand(NULL, "PING"), -1);
    CHECK_INT(vformat(NULL, "PING"), -1);
    CHECK_INT(redisFormatCommandArgv(NULL, 1, argv, lens), -1);
    CHECK_INT(redisFormatSdsCommandArgv(NULL, 1, argv, lens), -1);
}

TEST(format, null_strings_are_refused, "15 232") {
    char *cmd = untouched;
    CHECK(redisFormatCommand(&cmd, "GET %s", NULL) < 0);
    CHECK(redisFormatCommand(&cmd, "GET %b", NULL, (size_t)3) < 0);
    CHECK(vformat(&cmd, "GET %s", NULL) < 0);
    CHECK(vformat(&cmd, "SET %s %b", "a", NULL, (size_t)1) < 0);
    CHECK_PTR(cmd, untouched);
}

#if HIREDIS_MAJOR >= 1
TEST(format, every_failing_allocation_gives_minus_one, "5 15") {
    const char *argv[] = {"SET", "key", "value"};
    char big[400];
    memset(big, 'b', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (int form = 0; form < 5; form++) {
        for (size_t k = 1;; k++) {
            char *cmd = untouched;
            sds s = untouched;
            long long len;
            CHECK(k < 100);
            alloc_count_begin();
            alloc_fail_at(k);
            if (form == 0)
                len = redisFormatCommand(&cmd, "SET %s:%d %.3f%b %s", "key", 42, 1.5, "a\0b", (size_t)3, big);
            else if (form == 1)
                len = vformat(&cmd, "SET %s:%d %.3f%b %s", "key", 42, 1.5, "a\0b", (size_t)3, big);
            else if (form == 2) len = redisFormatCommandArgv(&cmd, 3, argv, NULL);
            else if (form == 4) /* more pieces than fit on the stack */
                len = redisFormatCommand(
                    &cmd, "%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%d-%s", 1, 2, 3, 4, 5, 6,
                    7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, big);
            else len = redisFormatSdsCommandArgv(&s, 3, argv, NULL);
            size_t failures = alloc_failures();
            alloc_fail_never();
            if (failures == 0) {
                CHECK(len > 0);
                if (form != 3) redisFreeCommand(cmd);
                else redisFreeSdsCommand(s);
                alloc_count_end();
                CHECK(k > 1);
                break;
            }
            CHECK_INT(len, -1);
            CHECK_PTR(cmd, untouched);
            CHECK_PTR(s, untouched);
            alloc_count_end();
        }
    }
}

TEST(format, a_command_is_one_block_of_the_allocator, "18 27") {
    const char *argv[] = {"SET", "key", "value"};
    char *cmd;
    alloc_count_begin();
    int len = redisFormatCommand(&cmd, "SET %s %d", "key", 5);
    CHECK(len > 0);
    CHECK_UINT(alloc_live(), 1);
    CHECK(alloc_owns(cmd));
    CHECK(alloc_live_bytes() >= (size_t)len + 1);
    hi_free(cmd);
    long long n = redisFormatCommandArgv(&cmd, 3, argv, NULL);
    CHECK_UINT(alloc_live(), 1);
    CHECK(alloc_owns(cmd));
    CHECK(alloc_live_bytes() >= (size_t)n + 1);
    redisFreeCommand(cmd);
    sds s;
    n = redisFormatSdsCommandArgv(&s, 3, argv, NULL);
    CHECK_UINT(alloc_live(), 1);
    CHECK_UINT(sdslen(s), n);
    redisFreeSdsCommand(s);
    alloc_count_end();
}
#endif

TEST(format, a_command_can_be_released_in_every_customary_way, "27") {
    const char *argv[] = {"PING"};
    char *cmd;
    sds s;
    CHECK_INT(redisFormatCommand(&cmd, "PING"), 14);
    free(cmd);
    CHECK_INT(redisFormatCommandArgv(&cmd, 1, argv, NULL), 14);
    free(cmd);
    CHECK_INT(redisFormatCommand(&cmd, "PING"), 14);
    redisFreeCommand(cmd);
#if HIREDIS_MAJOR >= 1
    CHECK_INT(redisFormatCommand(&cmd, "PING"), 14);
    hi_free(cmd);
#endif
    CHECK_INT(redisFormatSdsCommandArgv(&s, 1, argv, NULL), 14);
    redisFreeSdsCommand(s);
    CHECK_INT(redisFormatSdsCommandArgv(&s, 1, argv, NULL), 14);
    sdsfree(s);
    redisFreeCommand(NULL);
    redisFreeSdsCommand(NULL);
}

/* ---- Argument lists --------------------------------------------------------------------- */

/* Both functions, with and without lengths, agree with the obvious encoding. */
static void check_argv(int argc, const char **argv, const size_t *lens, int c_strings) {
    size_t len;
    char *want = wire(&len, argc, argv, lens), *cmd = untouched;
    sds s = untouched;
    CHECK_INT(redisFormatCommandArgv(&cmd, argc, argv, lens), len);
    CHECK_MEM_N(cmd, len, want, len);
    CHECK_INT(cmd[len], 0);
    redisFreeCommand(cmd);
    CHECK_INT(redisFormatSdsCommandArgv(&s, argc, argv, lens), len);
    CHECK_MEM_N(s, sdslen(s), want, len);
    CHECK_INT(s[len], 0);
    redisFreeSdsCommand(s);
    if (!c_strings) return;
    CHECK_INT(redisFormatCommandArgv(&cmd, argc, argv, NULL), len);
    CHECK_MEM_N(cmd, len, want, len);
    redisFreeCommand(cmd);
    CHECK_INT(redisFormatSdsCommandArgv(&s, argc, argv, NULL), len);
    CHECK_MEM_N(s, sdslen(s), want, len);
    redisFreeSdsCommand(s);
}

TEST(format, argument_lists_with_and_without_lengths, "17 18") {
    const char *argv[] = {"SET", "foo\0xxx", "bar"};
    const size_t strings[] = {3, 3, 3}, binary[] = {3, 7, 3}, empty[] = {0, 0, 0};
    char *cmd;
    check_argv(3, argv, strings, 1);
    check_argv(3, argv, binary, 0);
    check_argv(3, argv, empty, 0);
    CHECK_INT(redisFormatCommandArgv(&cmd, 3, argv, binary), 35);
    CHECK_MEM(cmd, 35, "*3\r\n$3\r\nSET\r\n$7\r\nfoo\0xxx\r\n$3\r\nbar\r\n");
    redisFreeCommand(cmd);
}

TEST(format, lengths_and_counts_of_every_number_of_digits, "17") {
    static const size_t sizes[] = {0,    1,     9,     10,    99,    100,    999,    1000,
                                   9999, 10000, 65534, 65536, 99999, 100000, 1048576};
    static const int counts[] = {1, 9, 10, 11, 99, 100, 999, 1000, 9999, 10000};
    char *bytes = test_bytes(1048577);
    for (size_t i = 0; i < 1048576; i++) bytes[i] = (char)(1 + i % 255);
    bytes[1048576] = '\0';
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const char *argv[] = {bytes + 1048576 - sizes[i]};
        check_argv(1, argv, &sizes[i], 1);
    }
    const char **argv = test_bytes(10000 * sizeof(*argv));
    size_t *lens = test_bytes(10000 * sizeof(*lens));
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        for (int k = 0; k < counts[i]; k++) {
            lens[k] = test_random_below(12);
            argv[k] = bytes + 1048576 - lens[k];
        }
        check_argv(counts[i], argv, lens, 1);
    }
}

TEST(format, no_arguments_are_an_empty_array, "26") {
    char *cmd;
    sds s;
    CHECK_INT(redisFormatCommandArgv(&cmd, 0, NULL, NULL), 4);
    CHECK_MEM(cmd, strlen(cmd), "*0\r\n");
    redisFreeCommand(cmd);
    CHECK_INT(redisFormatSdsCommandArgv(&s, 0, NULL, NULL), 4);
    CHECK_MEM(s, sdslen(s), "*0\r\n");
    redisFreeSdsCommand(s);
}

TEST(format, a_negative_count_is_refused, "26") {
    const char *argv[] = {"PING"};
    size_t lens[] = {4};
    char *cmd = untouched;
    sds s = untouched;
    CHECK_INT(redisFormatCommandArgv(&cmd, -1, argv, lens), -1);
    CHECK_INT(redisFormatCommandArgv(&cmd, INT_MIN, argv, NULL), -1);
    CHECK_INT(redisFormatSdsCommandArgv(&s, -1, argv, lens), -1);
    CHECK_INT(redisFormatSdsCommandArgv(&s, INT_MIN, NULL, NULL), -1);
    CHECK_PTR(cmd, untouched);
    CHECK_PTR(s, untouched);
}

TEST(format, a_null_argument_of_length_zero_is_empty, "17") {
    const char *argv[] = {"SET", NULL};
    size_t lens[] = {3, 0};
    check_argv(2, argv, lens, 0);
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

#if HIREDIS_MAJOR >= 1

TEST(format, sizes_that_overflow_are_refused, "15 232") {
    const char *argv[] = {"a", "b", "c"};
    const size_t cases[][3] = {{SIZE_MAX, 0, 0},      {SIZE_MAX / 2, SIZE_MAX / 2, 10},
                               {SIZE_MAX - 20, 1, 1}, {SIZE_MAX - 60, 0, 0},
                               {1, 1, SIZE_MAX - 40}, {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, 5}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *cmd = untouched;
        sds s = untouched;
        alloc_count_begin();
        CHECK_INT(redisFormatCommandArgv(&cmd, 3, argv, cases[i]), -1);
        CHECK_INT(redisFormatSdsCommandArgv(&s, 3, argv, cases[i]), -1);
        CHECK_PTR(cmd, untouched);
        CHECK_PTR(s, untouched);
        alloc_count_end();
    }
}

/* Address space full of zeroes that costs next to no memory while it is only read. */
static const char *zeroes(size_t len) {
    void *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) SKIP("no address space for a test with gigabytes");
    return p;
}

TEST(format, more_than_an_int_can_tell_is_refused_by_the_functions_that_return_int, "15 232") {
    static const size_t sizes[] = {(size_t)INT_MAX - 10, (size_t)INT_MAX,      (size_t)INT_MAX + 1,
                                   (size_t)UINT_MAX,     (size_t)UINT_MAX + 1, (size_t)UINT_MAX + 100};
    const char *p = zeroes((size_t)UINT_MAX + 4096);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char *cmd = untouched;
        alloc_count_begin();
        CHECK_INT(redisFormatCommand(&cmd, "SET k %b", p, sizes[i]), -1);
        CHECK_INT(vformat(&cmd, "%b%b", p, sizes[i] / 2, p, sizes[i]), -1);
        CHECK_PTR(cmd, untouched);
        alloc_count_end();
    }
}

/* Gigabytes of address space over the same few pages: writing there costs no memory. */
static char *folded;
static size_t folded_size;

static void *folded_malloc(size_t size) {
    if (size < (1u << 20)) return malloc(size);
    size_t step = 2 << 20, len = (size + step - 1) / step * step;
    char name[] = "/tmp/hirs-fold-XXXXXX";
    int fd = mkstemp(name);
    if (fd == -1) return NULL;
    unlink(name);
    char *p = ftruncate(fd, (off_t)step) == 0
                  ? mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                  : MAP_FAILED;
    for (size_t at = 0; p != MAP_FAILED && at < len; at += step) {
        if (mmap(p + at, step, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
            p = MAP_FAILED;
    }
    close(fd);
    if (p == MAP_FAILED) return NULL;
    folded = p;
    folded_size = len;
    return p;
}

static void folded_free(void *p) {
    if (p == NULL || p != folded) free(p);
    else munmap(p, folded_size);
}

/* For a block that was small. */
static void *folded_realloc(void *old, size_t size) {
    if (size <= INT_MAX) return realloc(old, size);
    char *p = folded_malloc(size);
    if (p == NULL) return NULL;
    if (old != NULL) memcpy(p, old, malloc_usable_size(old));
    free(old);
    return p;
}

TEST(format, argument_lists_beyond_two_gibibytes_are_formatted, "17") {
    size_t big = (size_t)INT_MAX + 1000, len;
    const char *argv[] = {"SET", "k", zeroes(big)};
    size_t lens[] = {3, 1, big};
    char *cmd;
    hiredisAllocFuncs table = {folded_malloc, calloc, folded_realloc, strdup, folded_free};
    hiredisSetAllocators(&table);
    folded = NULL;
    long long got = redisFormatCommandArgv(&cmd, 3, argv, lens);
    if (got == -1 && folded == NULL) SKIP("no address space for a test with gigabytes");
    len = 4 + 9 + 7 + 13 + big + 2;
    CHECK_INT(got, len);
    CHECK_PTR(cmd, folded);
    CHECK_MEM(cmd + len - 4, 5, "\0\0\r\n\0");
    redisFreeCommand(cmd);
}

#endif

/* ---- A model ------------------------------------------------------------------------------------ */

/* Random formats of text, spaces, %% and %s, against a plain restatement of the rules. */
TEST(format, random_formats_agree_with_a_plain_model, "9 19 24") {
    static const char *const values[] = {"", "v", "two words", " ", "%s", "a\r\nb"};
    for (int round = 0; round < 20000; round++) {
        char format[200] = "", args[40][200];
        const char *used[6], *argv[40];
        size_t lens[40], len;
        int n = 0, touched = 0, taken = 0;
        args[0][0] = '\0';
        for (int pieces = (int)test_random_below(12); pieces > 0; pieces--) {
            switch (test_random_below(6)) {
            case 0:
            case 1:
                strcat(format, test_random() & 1 ? " " : "   ");
                if (touched) args[++n][0] = '\0';
                touched = 0;
                break;
            case 2:
                strcat(format, "%%");
                strcat(args[n], "%");
                touched = 1;
                break;
            case 3:
                if (taken == 6) break;
                used[taken] = values[test_random_below(6)];
                strcat(format, "%s");
                strcat(args[n], used[taken++]);
                touched = 1;
                break;
            default:
                strcat(format, "text");
                strcat(args[n], "text");
                touched = 1;
            }
        }
        if (touched) n++;
        for (int i = 0; i < n; i++) {
            argv[i] = args[i];
            lens[i] = strlen(args[i]);
        }
        while (taken < 6) used[taken++] = "unused";
        char *want = wire(&len, n, argv, lens), *cmd = untouched;
        int got = redisFormatCommand(&cmd, format, used[0], used[1], used[2], used[3], used[4], used[5]);
        if (got != (int)len || memcmp(cmd, want, len) != 0)
            FAIL("seed %u, format \"%s\": got %d bytes \"%s\"", test_seed(), format, got, cmd);
        redisFreeCommand(cmd);
    }
}
