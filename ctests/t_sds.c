/* Dynamic strings (sds.h): header types, capacities, and every exported function. */
#include "test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/sds.h>

/* Exported, although no header declares them. */
int sdsll2str(char *s, long long value);
int sdsull2str(char *s, unsigned long long value);
int hex_digit_to_int(char c);

static int type_of(sds s) { return s[-1] & SDS_TYPE_MASK; }

/* Content, NUL behind it, and a capacity that the content fits. */
#define CHECK_SDS(s, lit) \
    do { \
        CHECK(s != NULL); \
        CHECK_MEM(s, sdslen(s), lit); \
        CHECK_INT(s[sdslen(s)], 0); \
        CHECK(sdsalloc(s) >= sdslen(s)); \
        CHECK_UINT(sdsavail(s), sdsalloc(s) - sdslen(s)); \
    } while (0)

static sds filled(size_t n) {
    sds s = sdsnewlen(NULL, n);
    CHECK(s != NULL);
    memset(s, 'x', n);
    return s;
}

/* ---- Making ------------------------------------------------------------------ */

TEST(sds, header_type_follows_the_length_at_creation, "197") {
    static const struct {
        size_t len;
        int type, header;
    } cases[] = {
        {0, SDS_TYPE_8, 3},      {1, SDS_TYPE_5, 1},      {2, SDS_TYPE_5, 1},      {31, SDS_TYPE_5, 1},
        {32, SDS_TYPE_8, 3},     {254, SDS_TYPE_8, 3},    {255, SDS_TYPE_16, 5},   {256, SDS_TYPE_16, 5},
        {65534, SDS_TYPE_16, 5}, {65535, SDS_TYPE_32, 9}, {65536, SDS_TYPE_32, 9}, {1 << 20, SDS_TYPE_32, 9},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t n = cases[i].len;
        sds s = filled(n);
        CHECK_INT(type_of(s), cases[i].type);
        CHECK_UINT(sdslen(s), n);
        CHECK_UINT(sdsalloc(s), n);
        CHECK_UINT(sdsavail(s), 0);
        CHECK_UINT(sdsAllocSize(s), n + 1 + (size_t)cases[i].header);
        CHECK_PTR(sdsAllocPtr(s), s - cases[i].header);
        CHECK_INT(s[n], 0);
        sds copy = sdsdup(s);
        CHECK_MEM_N(copy, sdslen(copy), s, n);
        CHECK_UINT(sdsalloc(copy), n);
        CHECK_INT(type_of(copy), cases[i].type);
        sdsfree(copy);
        sdsfree(s);
    }
}

TEST(sds, headers_hold_length_and_capacity_in_the_published_places, "197") {
    sds s = filled(20);
    CHECK_INT((unsigned char)s[-1], 20 << SDS_TYPE_BITS | SDS_TYPE_5);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(40), 60);
    CHECK_INT(((struct sdshdr8 *)(void *)(s - 3))->len, 40);
    CHECK_INT(((struct sdshdr8 *)(void *)(s - 3))->alloc, 200);
    CHECK_INT((unsigned char)s[-3], 40);
    CHECK_INT((unsigned char)s[-2], 200);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(1000), 1);
    uint16_t h16[2];
    memcpy(h16, s - 5, sizeof(h16));
    CHECK_INT(h16[0], 1000);
    CHECK_INT(h16[1], 2002);
    CHECK_INT(SDS_HDR(16, s)->len, 1000);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(70000), 1);
    uint32_t h32[2];
    memcpy(h32, s - 9, sizeof(h32));
    CHECK_UINT(h32[0], 70000);
    CHECK_UINT(h32[1], 140002);
    CHECK_UINT(SDS_HDR(32, s)->alloc, 140002);
    sdsfree(s);
}

TEST(sds, header_structs_are_packed_and_the_macros_have_their_values, "197 199") {
    CHECK_UINT(sizeof(struct sdshdr5), 1);
    CHECK_UINT(sizeof(struct sdshdr8), 3);
    CHECK_UINT(sizeof(struct sdshdr16), 5);
    CHECK_UINT(sizeof(struct sdshdr32), 9);
    CHECK_UINT(sizeof(struct sdshdr64), 17);
    CHECK_UINT(SDS_MAX_PREALLOC, 1048576);
    CHECK_INT(SDS_TYPE_5, 0);
    CHECK_INT(SDS_TYPE_8, 1);
    CHECK_INT(SDS_TYPE_16, 2);
    CHECK_INT(SDS_TYPE_32, 3);
    CHECK_INT(SDS_TYPE_64, 4);
    CHECK_INT(SDS_TYPE_MASK, 7);
    CHECK_INT(SDS_TYPE_BITS, 3);
    CHECK_INT(SDS_TYPE_5_LEN(31 << 3), 31);
}

TEST(sds, strings_are_made_from_bytes_and_from_nothing, "197") {
    sds s = sdsnewlen("a\0b", 3);
    CHECK_SDS(s, "a\0b");
    sdsfree(s);
    s = sdsnewlen(NULL, 40);
    for (int i = 0; i < 40; i++) CHECK_INT(s[i], 0);
    CHECK_UINT(sdslen(s), 40);
    sdsfree(s);
    s = sdsnew("hello");
    CHECK_SDS(s, "hello");
    sdsfree(s);
    s = sdsnew(NULL);
    CHECK_SDS(s, "");
    sdsfree(s);
    s = sdsempty();
    CHECK_SDS(s, "");
    CHECK_INT(type_of(s), SDS_TYPE_8);
    CHECK_UINT(sdsalloc(s), 0);
    CHECK_UINT(sdsAllocSize(s), 4);
    sdsfree(s);
    sdsfree(NULL);
}

TEST_1X(sds, a_length_that_wraps_gives_null, "197") {
    CHECK(sdsnewlen(NULL, SIZE_MAX) == NULL);
    CHECK(sdsnewlen("", SIZE_MAX - 4) == NULL);
    CHECK(sdsnewlen("", SIZE_MAX - 17) == NULL);
    sds s = sdsnew("abc");
    CHECK(sdsMakeRoomFor(s, SIZE_MAX) == NULL);
    CHECK(sdsMakeRoomFor(s, SIZE_MAX - 3) == NULL);
    CHECK(sdsgrowzero(s, SIZE_MAX) == NULL);
    CHECK(sdscatlen(s, "", SIZE_MAX - 3) == NULL);
    CHECK_SDS(s, "abc");
    sdsfree(s);
}

/* ---- Growing ----------------------------------------------------------------- */

TEST(sds, room_is_made_by_doubling_below_a_mebibyte, "197") {
    sds s = sdsMakeRoomFor(sdsnew("abc"), 1);
    CHECK_SDS(s, "abc");
    CHECK_UINT(sdsalloc(s), 8);
    CHECK_INT(type_of(s), SDS_TYPE_8);
    sdsfree(s);

    char bytes[100];
    memset(bytes, 'x', sizeof(bytes));
    s = sdscatlen(sdsempty(), bytes, 100);
    CHECK_UINT(sdsalloc(s), 200);
    s = sdscatlen(s, bytes, 100);
    CHECK_UINT(sdsalloc(s), 200);
    s = sdscatlen(s, bytes, 100);
    CHECK_UINT(sdsalloc(s), 600);
    CHECK_INT(type_of(s), SDS_TYPE_16);
    CHECK_UINT(sdslen(s), 300);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(1048574), 1);
    CHECK_UINT(sdsalloc(s), 2097150);
    sdsfree(s);
    s = sdsMakeRoomFor(filled(1048575), 1);
    CHECK_UINT(sdsalloc(s), 2097152);
    CHECK_UINT(sdslen(s), 1048575);
    sdsfree(s);
}

TEST(sds, a_capacity_beyond_four_gibibytes_has_the_largest_header, "197") {
    size_t more = (size_t)4500 << 20;
    sds old = filled(10), s = sdsMakeRoomFor(old, more);
    if (s == NULL) SKIP("no 7 GiB of address space");
    CHECK_INT(type_of(s), SDS_TYPE_64);
    CHECK_SDS(s, "xxxxxxxxxx");
    CHECK(sdsavail(s) >= more);
    CHECK_UINT(sdsAllocSize(s), sdsalloc(s) + 18);
    CHECK_PTR(sdsAllocPtr(s), s - 17);
    CHECK_UINT(SDS_HDR(64, s)->len, 10);
    s = sdscat(s, "more");
    CHECK_SDS(s, "xxxxxxxxxxmore");
    s = sdsRemoveFreeSpace(s);
    CHECK_SDS(s, "xxxxxxxxxxmore");
    CHECK_INT(type_of(s), SDS_TYPE_5);
    sdsfree(s);
}

TEST(sds, room_that_is_there_changes_nothing, "197") {
    sds s = sdsMakeRoomFor(sdsnew("abc"), 5);
    CHECK_UINT(sdsavail(s), 13);
    CHECK_PTR(sdsMakeRoomFor(s, 13), s);
    CHECK_PTR(sdsMakeRoomFor(s, 0), s);
    CHECK_UINT(sdsalloc(s), 16);
    sdsfree(s);
    s = sdsnew("abc");
    CHECK_PTR(sdsMakeRoomFor(s, 0), s);
    CHECK_INT(type_of(s), SDS_TYPE_5);
    sdsfree(s);
}

TEST(sds, growth_across_every_header_keeps_the_content, "197") {
    sds s = sdsempty();
    size_t len = 0;
    unsigned char next = 0;
    while (len < 300000) {
        char chunk[977];
        size_t n = 1 + test_random_below(sizeof(chunk));
        if (len < 600) n = 1 + n % 7;
        for (size_t i = 0; i < n; i++) chunk[i] = (char)next++;
        s = sdscatlen(s, chunk, n);
        len += n;
        CHECK_UINT(sdslen(s), len);
        CHECK_INT(s[len], 0);
        CHECK(type_of(s) != SDS_TYPE_5);
        CHECK(sdsalloc(s) >= len);
        int smallest = sdsalloc(s) < 255 ? SDS_TYPE_8 : sdsalloc(s) < 65535 ? SDS_TYPE_16 : SDS_TYPE_32;
        CHECK_INT(type_of(s), smallest);
    }
    for (size_t i = 0; i < len; i++) CHECK_INT((unsigned char)s[i], (unsigned char)i);
    sdsfree(s);
}

#if HIREDIS_MAJOR >= 1
TEST(sds, appending_costs_linear_copying, "197") {
    /* The counting allocator moves a block at each realloc, so the bytes it hands
     * out bound the bytes copied. */
    size_t most = 64 << 20;
    char *chunk = test_bytes(4096);
    memset(chunk, 'x', 4096);
    alloc_count_begin();
    sds s = sdsempty();
    while (sdslen(s) < most) s = sdscatlen(s, chunk, 4096);
    CHECK(alloc_total_bytes() < 6 * most);
    sdsfree(s);
    alloc_count_end();
}
#endif

TEST(sds, grow_zero_extends_and_never_shrinks, "197") {
    sds s = sdsgrowzero(sdsnew("ab"), 6);
    CHECK_SDS(s, "ab\0\0\0\0");
    s = sdsgrowzero(s, 3);
    CHECK_SDS(s, "ab\0\0\0\0");
    s = sdsgrowzero(s, 6);
    CHECK_SDS(s, "ab\0\0\0\0");
    s = sdsgrowzero(s, 300);
    CHECK_UINT(sdslen(s), 300);
    for (size_t i = 2; i <= 300; i++) CHECK_INT(s[i], 0);
    sdsfree(s);
}

TEST(sds, free_space_can_be_removed, "197") {
    sds s = sdsMakeRoomFor(sdsnew("abc"), 1000);
    CHECK_INT(type_of(s), SDS_TYPE_16);
    s = sdsRemoveFreeSpace(s);
    CHECK_SDS(s, "abc");
    CHECK_INT(type_of(s), SDS_TYPE_5);
    CHECK_UINT(sdsAllocSize(s), 5);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(100), 100000);
    CHECK_INT(type_of(s), SDS_TYPE_32);
    s = sdsRemoveFreeSpace(s);
    CHECK_INT(type_of(s), SDS_TYPE_8);
    CHECK_UINT(sdsalloc(s), 100);
    CHECK_UINT(sdslen(s), 100);
    CHECK_INT(s[99], 'x');
    CHECK_INT(s[100], 0);
    sdsfree(s);

    s = sdsMakeRoomFor(filled(70000), 5);
    s = sdsRemoveFreeSpace(s);
    CHECK_INT(type_of(s), SDS_TYPE_32);
    CHECK_UINT(sdsalloc(s), 70000);
    CHECK_UINT(sdsavail(s), 0);
    sdsfree(s);
}

TEST_1X(sds, removing_the_free_space_of_an_empty_string_gives_the_smallest_type, "197") {
    sds s = sdsRemoveFreeSpace(sdsMakeRoomFor(sdsempty(), 50));
    CHECK_SDS(s, "");
    CHECK_INT(type_of(s), SDS_TYPE_5);
    s = sdscat(s, "grows again");
    CHECK_SDS(s, "grows again");
    CHECK_INT(type_of(s), SDS_TYPE_8);
    sdsfree(s);
}

TEST(sds, length_is_adjusted_after_writing_into_the_room, "197") {
    sds s = sdsMakeRoomFor(sdsnew("abc"), 10);
    memcpy(s + 3, "defg", 4);
    sdsIncrLen(s, 4);
    CHECK_SDS(s, "abcdefg");
    sdsIncrLen(s, -5);
    CHECK_SDS(s, "ab");
    sdsIncrLen(s, 0);
    CHECK_SDS(s, "ab");
    sdsfree(s);
    s = sdsnew("abc");
    CHECK_INT(type_of(s), SDS_TYPE_5);
    sdsIncrLen(s, -1);
    CHECK_SDS(s, "ab");
    sdsfree(s);
    s = sdsMakeRoomFor(filled(1000), 1000);
    sdsIncrLen(s, 500);
    CHECK_UINT(sdslen(s), 1500);
    sdsIncrLen(s, -1500);
    CHECK_UINT(sdslen(s), 0);
    CHECK_INT(s[0], 0);
    sdsfree(s);
    s = sdsMakeRoomFor(filled(70000), 70000);
    sdsIncrLen(s, 70000);
    CHECK_UINT(sdslen(s), 140000);
    sdsfree(s);
}

TEST(sds, inline_setters_write_the_header, "197") {
    sds s = sdsMakeRoomFor(filled(300), 300);
    sdssetlen(s, 10);
    CHECK_UINT(sdslen(s), 10);
    sdsinclen(s, 5);
    CHECK_UINT(sdslen(s), 15);
    sdssetalloc(s, 600);
    CHECK_UINT(sdsalloc(s), 600);
    CHECK_UINT(sdsavail(s), 585);
    sdsfree(s);
    s = sdsnew("abcdef");
    sdssetlen(s, 3);
    CHECK_UINT(sdslen(s), 3);
    CHECK_INT(type_of(s), SDS_TYPE_5);
    sdsinclen(s, 2);
    CHECK_UINT(sdslen(s), 5);
    CHECK_UINT(sdsalloc(s), 5);
    sdsfree(s);
}

TEST(sds, clear_keeps_the_capacity_and_update_trusts_the_nul, "197") {
    sds s = sdsMakeRoomFor(sdsnew("some text"), 100);
    size_t room = sdsalloc(s);
    sdsclear(s);
    CHECK_SDS(s, "");
    CHECK_UINT(sdsalloc(s), room);
    s = sdscpy(s, "a string");
    s[3] = '\0';
    sdsupdatelen(s);
    CHECK_SDS(s, "a s");
    sdsfree(s);
}

/* ---- Appending and replacing -------------------------------------------------- */

TEST(sds, append_takes_bytes_c_strings_and_sds, "198") {
    sds s = sdscatlen(sdsempty(), "a\0b", 3);
    s = sdscat(s, "cd");
    sds t = sdsnewlen("e\0f", 3);
    s = sdscatsds(s, t);
    s = sdscatlen(s, "ignored", 0);
    s = sdscat(s, "");
    CHECK_SDS(s, "a\0bcde\0f");
    sdsfree(t);
    sdsfree(s);
}

TEST(sds, copy_replaces_the_content_and_keeps_room_that_suffices, "198") {
    sds s = sdsMakeRoomFor(sdsnew("before"), 100);
    size_t room = sdsalloc(s);
    s = sdscpy(s, "after");
    CHECK_SDS(s, "after");
    CHECK_UINT(sdsalloc(s), room);
    s = sdscpylen(s, "x\0y", 3);
    CHECK_SDS(s, "x\0y");
    s = sdscpylen(s, "", 0);
    CHECK_SDS(s, "");
    sdsfree(s);
    s = sdsnew("a");
    s = sdscpy(s, "much longer than before, more than thirty-one bytes");
    CHECK_SDS(s, "much longer than before, more than thirty-one bytes");
    sdsfree(s);
}

TEST(sds, printf_appends_what_the_c_library_prints, "198") {
    sds s = sdscatprintf(sdsnew("sum: "), "%d+%d=%s%5.2f", 1, 2, "three", 3.14159);
    CHECK_SDS(s, "sum: 1+2=three 3.14");
    s = sdscatprintf(s, "%s", "");
    CHECK_SDS(s, "sum: 1+2=three 3.14");
    sdsfree(s);
    s = sdscatprintf(sdsempty(), "%5000s|", "right");
    CHECK_UINT(sdslen(s), 5001);
    CHECK_MEM(s + 4990, 11, "     right|");
    sdsfree(s);
    for (int n = 1000; n < 1050; n++) {
        s = sdscatprintf(sdsempty(), "%*d", n, 7);
        CHECK_UINT(sdslen(s), n);
        CHECK_INT(s[n - 1], '7');
        sdsfree(s);
    }
}

TEST(sds, printf_output_is_cut_at_its_first_nul, "198") {
    sds s = sdscatprintf(sdsnew("<"), "a%cb", 0);
    CHECK_SDS(s, "<a");
    sdsfree(s);
    s = sdscatprintf(sdsempty(), "%3000d%cb", 1, 0);
    CHECK_UINT(sdslen(s), 3000);
    sdsfree(s);
}

__attribute__((format(printf, 2, 3))) static sds vprintf_by(sds s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    s = sdscatvprintf(s, fmt, ap);
    va_end(ap);
    return s;
}

TEST(sds, vprintf_takes_an_argument_list, "198") {
    sds s = vprintf_by(sdsnew("v:"), "%s-%lld-%c", "x", 1LL << 40, 'y');
    CHECK_SDS(s, "v:x-1099511627776-y");
    s = vprintf_by(s, "%2000s", "");
    CHECK_UINT(sdslen(s), 2019);
    sdsfree(s);
}

TEST(sds, fmt_appends_by_its_own_letters, "198") {
    sds part = sdsnewlen("p\0q", 3);
    sds s = sdscatfmt(sdsnew("--"), "%s|%S|%i|%I|%u|%U|%%|%x", "str", part, INT_MIN, LLONG_MIN, UINT_MAX,
                      ULLONG_MAX);
    CHECK_SDS(s, "--str|p\0q|-2147483648|-9223372036854775808|4294967295|18446744073709551615|%|x");
    sdsfree(s);
    s = sdscatfmt(sdsempty(), "Hello %s World %I,%I--", "Hi!", LLONG_MIN, LLONG_MAX);
    CHECK_SDS(s, "Hello Hi! World -9223372036854775808,9223372036854775807--");
    sdsfree(s);
    s = sdscatfmt(sdsempty(), "%u,%U--", UINT_MAX, ULLONG_MAX);
    CHECK_SDS(s, "4294967295,18446744073709551615--");
    s = sdscatfmt(s, "%i%i %d", 0, -1);
    CHECK_SDS(s, "4294967295,18446744073709551615--0-1 d");
    s = sdscatfmt(s, "%s", "");
    s = sdscatfmt(s, "");
    CHECK_SDS(s, "4294967295,18446744073709551615--0-1 d");
    sdsfree(s);
    char *text = test_bytes(100001);
    memset(text, 't', 100000);
    text[100000] = '\0';
    s = sdscatfmt(sdsempty(), "%s:%S:%s", text, part, text);
    CHECK_UINT(sdslen(s), 200005);
    sdsfree(part);
    sdsfree(s);
}

TEST(sds, fmt_stops_at_a_lone_percent_at_the_end, "198") {
    sds s = sdscatfmt(sdsnew("a"), "b%");
    CHECK_SDS(s, "ab");
    sdsfree(s);
    s = sdscatfmt(sdsempty(), "%");
    CHECK_SDS(s, "");
    sdsfree(s);
}

TEST(sds, repr_quotes_and_escapes, "198") {
    sds s = sdscatrepr(sdsnew("="), "\a\n\0foo\r", 7);
    CHECK_SDS(s, "=\"\\a\\n\\x00foo\\r\"");
    sdsfree(s);
    s = sdscatrepr(sdsempty(), "\\\"\t\b ~\x7f\x01", 8);
    CHECK_SDS(s, "\"\\\\\\\"\\t\\b ~\\x7f\\x01\"");
    sdsfree(s);
    s = sdscatrepr(sdsempty(), "\xfe\xff", 2);
    CHECK_SDS(s, "\"\\xfe\\xff\"");
    sdsfree(s);
    s = sdscatrepr(sdsempty(), "", 0);
    CHECK_SDS(s, "\"\"");
    sdsfree(s);
    char *bytes = test_bytes(40000);
    memset(bytes, 0, 40000);
    s = sdscatrepr(sdsnew("x"), bytes, 40000);
    CHECK_UINT(sdslen(s), 160003);
    CHECK_MEM(s + 160003 - 5, 5, "\\x00\"");
    sdsfree(s);
}

/* ---- Changing in place --------------------------------------------------------- */

TEST(sds, trim_removes_a_set_from_both_ends, "198") {
    static const struct {
        const char *text, *set, *want;
    } cases[] = {
        {" x ", " x", ""},           {" x ", " ", "x"},
        {"xxciaoyyy", "xy", "ciao"}, {"AA...AA.a.aa.aHelloWorld     :::", "Aa. :", "HelloWorld"},
        {"abc", "", "abc"},          {"", "abc", ""},
        {"axxa", "x", "axxa"},       {"xxa", "x", "a"},
        {"axx", "x", "a"},           {"x", "x", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        sds s = sdsnew(cases[i].text);
        CHECK_PTR(sdstrim(s, cases[i].set), s);
        CHECK_STR(s, cases[i].want);
        CHECK_UINT(sdslen(s), strlen(cases[i].want));
        sdsfree(s);
    }
}

TEST(sds, trim_removes_nul_bytes_as_well, "198") {
    sds s = sdsnewlen("\0a\0x\0 x\0\0", 9);
    sdstrim(s, "x ");
    CHECK_MEM_N(s, sdslen(s), "a", 1);
    sdsfree(s);
}

#if HIREDIS_MAJOR >= 1
#define RANGE(s, start, end) CHECK_INT(sdsrange(s, start, end), 0)
#else
#define RANGE(s, start, end) sdsrange(s, start, end)
#endif

TEST(sds, range_keeps_the_inclusive_part, "198") {
    static const struct {
        const char *text;
        int start, end;
        const char *want;
    } cases[] = {
        {"ciao", 1, 1, "i"},     {"ciao", 1, -1, "iao"},  {"ciao", -2, -1, "ao"},  {"ciao", 2, 1, ""},
        {"ciao", 1, 100, "iao"}, {"ciao", 100, 100, ""},  {"ciao", -100, 1, "ci"}, {"ciao", 0, 0, "c"},
        {"ciao", 4, -1, ""},     {"ciao", 0, -1, "ciao"}, {"ciao", 0, -5, "c"},    {"ciao", -1, -1, "o"},
        {"ciao", 3, 3, "o"},     {"ciao", 0, 3, "ciao"},  {"ciao", 1, -2, "ia"},   {"", 0, -1, ""},
        {"", 3, 5, ""},          {"ciao", -1, 0, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        sds s = sdsnew(cases[i].text);
        size_t room = sdsalloc(s);
        RANGE(s, cases[i].start, cases[i].end);
        if (strcmp(s, cases[i].want) != 0 || sdslen(s) != strlen(cases[i].want))
            FAIL("range of \"%s\" from %d to %d: got \"%s\"", cases[i].text, cases[i].start, cases[i].end, s);
        if (type_of(s) != SDS_TYPE_5) CHECK_UINT(sdsalloc(s), room);
        sdsfree(s);
    }
    sds s = sdsnew("a long enough string for a header that has a capacity");
    size_t room = sdsalloc(s);
    RANGE(s, 2, 5);
    CHECK_SDS(s, "long");
    CHECK_UINT(sdsalloc(s), room);
    sdsfree(s);
}

#if HIREDIS_MAJOR >= 1
TEST(sds, range_takes_the_whole_width_of_its_indexes, "198") {
    sds s = sdsnew("ciao");
    RANGE(s, (ssize_t)INT_MIN - 5, (ssize_t)INT_MAX + 5);
    CHECK_SDS(s, "ciao");
    RANGE(s, (ssize_t)(SIZE_MAX / 2), -1);
    CHECK_SDS(s, "");
    sdsfree(s);
    s = sdsnew("ciao");
    RANGE(s, -(ssize_t)(SIZE_MAX / 2) - 1, (ssize_t)(SIZE_MAX / 2));
    CHECK_SDS(s, "ciao");
    sdsfree(s);
}
#endif

TEST(sds, case_is_changed_in_place, "198") {
    sds s = sdsnewlen("aBc\0Zz[1\xe4", 9);
    sdstoupper(s);
    CHECK_SDS(s, "ABC\0ZZ[1\xe4");
    sdstolower(s);
    CHECK_SDS(s, "abc\0zz[1\xe4");
    sdsfree(s);
}

TEST(sds, mapchars_replaces_by_the_first_match, "198") {
    sds s = sdsnew("hello");
    CHECK_PTR(sdsmapchars(s, "ho", "01", 2), s);
    CHECK_SDS(s, "0ell1");
    sdsmapchars(s, "ll", "xy", 2);
    CHECK_SDS(s, "0exx1");
    sdsmapchars(s, "x", "y", 0);
    CHECK_SDS(s, "0exx1");
    sdsmapchars(s, "\0x", "a\0", 2);
    CHECK_SDS(s, "0e\0\0001");
    sdsfree(s);
}

/* ---- Comparing, splitting, joining ---------------------------------------------- */

static int sign(int n) { return (n > 0) - (n < 0); }

TEST(sds, cmp_orders_by_bytes_then_by_length, "198") {
    static const struct {
        const char *a, *b;
        size_t alen, blen;
        int want;
    } cases[] = {
        {"foo", "foa", 3, 3, 1}, {"bar", "bar", 3, 3, 0},    {"aar", "bar", 3, 3, -1},
        {"ab", "abc", 2, 3, -1}, {"abc", "ab", 3, 2, 1},     {"", "", 0, 0, 0},
        {"", "a", 0, 1, -1},     {"a\0b", "a\0c", 3, 3, -1}, {"\xff", "a", 1, 1, 1},
        {"a\0", "a", 2, 1, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        sds a = sdsnewlen(cases[i].a, cases[i].alen), b = sdsnewlen(cases[i].b, cases[i].blen);
        CHECK_INT(sign(sdscmp(a, b)), cases[i].want);
        CHECK_INT(sign(sdscmp(b, a)), -cases[i].want);
        sdsfree(a);
        sdsfree(b);
    }
}

TEST(sds, cmp_keeps_the_sign_of_a_huge_difference, "198") {
    /* Only the header claims the length: nothing but the common prefix is compared. */
    struct {
        uint64_t len, alloc;
        unsigned char flags;
        char text[8];
    } __attribute__((packed)) huge = {(uint64_t)1 << 32, (uint64_t)1 << 32, SDS_TYPE_64, "abc"};
    sds s = sdsnew("abc");
    CHECK_UINT(sdslen(huge.text), (uint64_t)1 << 32);
    CHECK(sdscmp(huge.text, s) > 0);
    CHECK(sdscmp(s, huge.text) < 0);
    huge.len = ((uint64_t)1 << 31) + 3;
    CHECK(sdscmp(huge.text, s) > 0);
    CHECK(sdscmp(s, huge.text) < 0);
    sdsfree(s);
}

static const char *split_text(const char *text, int len, const char *sep, int seplen) {
    int count = -7;
    sds *tokens = sdssplitlen(text, len, sep, seplen, &count);
    char *shown = test_printf("%d:", count);
    if (tokens == NULL) return test_printf("NULL %s", shown);
    for (int i = 0; i < count; i++) shown = test_printf("%s[%s]", shown, tokens[i]);
    sdsfreesplitres(tokens, count);
    return shown;
}

TEST(sds, splitlen_cuts_at_each_separator, "198") {
    CHECK_STR(split_text("a,b,c", 5, ",", 1), "3:[a][b][c]");
    CHECK_STR(split_text(",", 1, ",", 1), "2:[][]");
    CHECK_STR(split_text("abc", 3, ",", 1), "1:[abc]");
    CHECK_STR(split_text("", 0, ",", 1), "0:");
    CHECK_STR(split_text("a--b--", 6, "--", 2), "3:[a][b][]");
    CHECK_STR(split_text("a---b", 5, "--", 2), "2:[a][-b]");
    CHECK_STR(split_text("a,b,c", 3, ",", 1), "2:[a][b]");
    CHECK_STR(split_text("ab", 2, "abc", 3), "1:[ab]");
    CHECK_STR(split_text("a,b", 3, ",", 0), "NULL -7:");
    CHECK_STR(split_text("a,b", 3, ",", -1), "NULL -7:");
    CHECK_STR(split_text("a,b", -1, ",", 1), "NULL -7:");
    int count;
    sds *tokens = sdssplitlen("x\0y\0", 4, "\0", 1, &count);
    CHECK_INT(count, 3);
    CHECK_SDS(tokens[0], "x");
    CHECK_SDS(tokens[1], "y");
    CHECK_SDS(tokens[2], "");
    sdsfreesplitres(tokens, count);
    sdsfreesplitres(NULL, 3);
    char *commas = test_bytes(1000);
    memset(commas, ',', 1000);
    tokens = sdssplitlen(commas, 1000, ",", 1, &count);
    CHECK_INT(count, 1001);
    sdsfreesplitres(tokens, count);
}

static const char *args_text(const char *line) {
    int argc = -7;
    sds *argv = sdssplitargs(line, &argc);
    char *shown = test_printf("%d:", argc);
    if (argv == NULL) return test_printf("NULL %s", shown);
    for (int i = 0; i < argc; i++) {
        sds quoted = sdscatrepr(sdsempty(), argv[i], sdslen(argv[i]));
        shown = test_printf("%s %s", shown, quoted);
        sdsfree(quoted);
    }
    sdsfreesplitres(argv, argc);
    return shown;
}

TEST(sds, splitargs_splits_like_a_shell, "198") {
    CHECK_STR(args_text(""), "0:");
    CHECK_STR(args_text("   \t\n "), "0:");
    CHECK_STR(args_text("set foo bar"), "3: \"set\" \"foo\" \"bar\"");
    CHECK_STR(args_text("  set\tfoo\n bar  "), "3: \"set\" \"foo\" \"bar\"");
    CHECK_STR(args_text("\"a b\" c"), "2: \"a b\" \"c\"");
    CHECK_STR(args_text("a\"b c\""), "1: \"ab c\"");
    CHECK_STR(args_text("\"\" ''"), "2: \"\" \"\"");
    CHECK_STR(args_text("\"\\x41\\n\\r\\t\\b\\a\\\"\\\\\\q\""), "1: \"A\\n\\r\\t\\b\\a\\\"\\\\q\"");
    CHECK_STR(args_text("\"\\x4\""), "1: \"x4\"");
    CHECK_STR(args_text("\"\\xFf\\x00\""), "1: \"\\xff\\x00\"");
    CHECK_STR(args_text("'a\\'b' '\\n'"), "2: \"a'b\" \"\\\\n\"");
    CHECK_STR(args_text("'say \"hi\"'"), "1: \"say \\\"hi\\\"\"");
    CHECK_STR(args_text("a'b c'"), "1: \"ab c\"");
    CHECK_STR(args_text("a\\x41"), "1: \"a\\\\x41\"");
}

TEST(sds, splitargs_refuses_unbalanced_and_glued_quotes, "198") {
    CHECK_STR(args_text("\"abc"), "NULL 0:");
    CHECK_STR(args_text("'abc"), "NULL 0:");
    CHECK_STR(args_text("\"a\"b"), "NULL 0:");
    CHECK_STR(args_text("'a'b"), "NULL 0:");
    CHECK_STR(args_text("ok \"a\"\"b\""), "NULL 0:");
    CHECK_STR(args_text("\"abc\\"), "NULL 0:");
    CHECK_STR(args_text("a \""), "NULL 0:");
}

TEST(sds, join_puts_a_separator_between, "198") {
    char a[] = "a", b[] = "bc", c[] = "", sep[] = ", ", none[] = "";
    char *argv[] = {a, b, c};
    sds s = sdsjoin(argv, 3, sep);
    CHECK_SDS(s, "a, bc, ");
    sdsfree(s);
    s = sdsjoin(argv, 2, none);
    CHECK_SDS(s, "abc");
    sdsfree(s);
    s = sdsjoin(argv, 1, sep);
    CHECK_SDS(s, "a");
    sdsfree(s);
    s = sdsjoin(NULL, 0, sep);
    CHECK_SDS(s, "");
    sdsfree(s);

    sds strings[] = {sdsnewlen("x\0y", 3), sdsempty(), sdsnew("z")};
    s = sdsjoinsds(strings, 3, "\0-", 2);
    CHECK_SDS(s, "x\0y\0-\0-z");
    sdsfree(s);
    s = sdsjoinsds(strings, 0, "-", 1);
    CHECK_SDS(s, "");
    sdsfree(s);
    for (int i = 0; i < 3; i++) sdsfree(strings[i]);
}

/* ---- Numbers ------------------------------------------------------------------- */

TEST(sds, numbers_become_decimal_text, "198") {
    static const long long values[] = {
        0, 1, -1, 9, 10, -10, 99, 100, 123456789012LL, INT_MIN, INT_MAX, LLONG_MAX, LLONG_MIN, LLONG_MIN + 1};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        const char *want = test_printf("%lld", values[i]);
        char text[32];
        sds s = sdsfromlonglong(values[i]);
        CHECK_MEM_N(s, sdslen(s), want, strlen(want));
        sdsfree(s);
        CHECK_INT(sdsll2str(text, values[i]), strlen(want));
        CHECK_STR(text, want);
        want = test_printf("%llu", (unsigned long long)values[i]);
        CHECK_INT(sdsull2str(text, (unsigned long long)values[i]), strlen(want));
        CHECK_STR(text, want);
    }
}

TEST(sds, hex_digits_have_values, "198") {
    for (int c = 0; c < 256; c++) {
        char text[2] = {(char)c, 0};
        int want = c != 0 && strchr("0123456789abcdefABCDEF", c) ? (int)strtol(text, NULL, 16) : 0;
        CHECK_INT(hex_digit_to_int((char)c), want);
    }
}

/* ---- Allocation ------------------------------------------------------------------ */

TEST(sds, raw_blocks_come_from_the_same_allocator, "198") {
    alloc_count_begin();
    char *p = sds_malloc(10);
    CHECK(p != NULL);
    memcpy(p, "123456789", 10);
    p = sds_realloc(p, 1000);
    CHECK_STR(p, "123456789");
    sds_free(p);
    sds_free(NULL);
    sds s = sdsnew("text");
#if HIREDIS_MAJOR >= 1
    CHECK_UINT(alloc_live(), 1);
    CHECK(alloc_owns(sdsAllocPtr(s)));
    CHECK_UINT(alloc_live_bytes(), sdsAllocSize(s));
#endif
    sdsfree(s);
    alloc_count_end();
}

TEST(sds, a_token_array_made_by_the_program_can_be_freed, "198") {
    alloc_count_begin();
    sds *tokens = hi_malloc(3 * sizeof(*tokens));
    tokens[0] = sdsnew("a");
    tokens[1] = NULL;
    tokens[2] = sdsnew("c");
    sdsfreesplitres(tokens, 3);
    alloc_count_end();
}

#if HIREDIS_MAJOR >= 1

/* What a function does when memory runs out: NULL, and the old string lives on. */
static sds op_catlen(sds s) { return sdscatlen(s, "0123456789012345678901234567890123456789", 40); }
static sds op_cat(sds s) { return sdscat(s, "0123456789012345678901234567890123456789"); }
static sds op_cpy(sds s) {
    return sdscpy(s, "0123456789012345678901234567890123456789012345678901234567890");
}
static sds op_growzero(sds s) { return sdsgrowzero(s, 300); }
static sds op_room(sds s) { return sdsMakeRoomFor(s, 70000); }
static sds op_shrink(sds s) { return sdsRemoveFreeSpace(s); }
static sds op_printf(sds s) { return sdscatprintf(s, "%2000d", 1); }
static sds op_fmt(sds s) { return sdscatfmt(s, "%s%i", "a text of more than the room there is", 7); }
static sds op_repr(sds s) { return sdscatrepr(s, "\x01\x02\x03\x04\x05\x06\x07\x08 plain \"\\", 17); }

TEST(sds, every_failing_allocation_leaves_the_old_string, "198 5 6") {
    static sds (*const ops[])(sds) = {op_catlen, op_cat,    op_cpy, op_growzero, op_room,
                                      op_shrink, op_printf, op_fmt, op_repr};
    for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        for (size_t k = 1;; k++) {
            CHECK(k < 100);
            alloc_count_begin();
            sds s = sdsnew("hello");
            s = sdsMakeRoomFor(s, 3);
            alloc_fail_at(k);
            sds changed = ops[i](s);
            size_t failures = alloc_failures();
            alloc_fail_never();
            if (failures == 0) {
                CHECK(changed != NULL);
                sdsfree(changed);
                alloc_count_end();
                CHECK(k > 1);
                break;
            }
            if (changed != NULL) FAIL("operation %zu succeeds although allocation %zu failed", i, k);
            CHECK_SDS(s, "hello");
            sdsfree(s);
            alloc_count_end();
        }
    }
}

static int make_new(void) {
    sds s = sdsnew("x");
    sdsfree(s);
    return s != NULL;
}
static int make_empty(void) {
    sds s = sdsempty();
    sdsfree(s);
    return s != NULL;
}
static int make_number(void) {
    sds s = sdsfromlonglong(123);
    sdsfree(s);
    return s != NULL;
}
static int make_join(void) {
    char a[] = "first", b[] = "second and longer than the first", sep[] = "---";
    char *argv[] = {a, b, a, b};
    sds s = sdsjoin(argv, 4, sep);
    sdsfree(s);
    return s != NULL;
}
static int make_split(void) {
    int count = -7;
    sds *tokens = sdssplitlen("a,b,c,d,e,f,g,h,i,j,k,l", 23, ",", 1, &count);
    if (tokens == NULL) CHECK_INT(count, 0);
    sdsfreesplitres(tokens, count);
    return tokens != NULL;
}
static int make_args(void) {
    int argc = -7;
    sds *argv = sdssplitargs("set \"a b\\n\" 'c d' plain word that is long enough to need room", &argc);
    if (argv == NULL) CHECK_INT(argc, 0);
    else sdsfreesplitres(argv, argc);
    return argv != NULL;
}

TEST(sds, every_failing_allocation_while_making_strings_gives_null, "198 5 6") {
    static int (*const ops[])(void) = {make_new, make_empty, make_number, make_join, make_split, make_args};
    for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        for (size_t k = 1;; k++) {
            CHECK(k < 200);
            alloc_count_begin();
            alloc_fail_at(k);
            int made = ops[i]();
            if (alloc_failures() == 0) {
                CHECK(made);
                alloc_count_end();
                break;
            }
            if (made) FAIL("operation %zu succeeds although allocation %zu failed", i, k);
            alloc_count_end();
        }
    }
}

TEST(sds, joining_strings_reports_every_failing_allocation, "198 5 6") {
    for (size_t k = 1;; k++) {
        alloc_count_begin();
        sds strings[] = {sdsnew("one"), sdsnew("two, longer than one"), sdsnew("three")};
        alloc_fail_at(k);
        sds s = sdsjoinsds(strings, 3, ", ", 2);
        size_t failures = alloc_failures();
        alloc_fail_never();
        CHECK((s == NULL) == (failures > 0));
        sdsfree(s);
        for (int i = 0; i < 3; i++) sdsfree(strings[i]);
        alloc_count_end();
        if (failures == 0) break;
        CHECK(k < 100);
    }
}

#endif
