/* Commands by format and by arguments, and strings, from one object file that touches no struct: it is
 * compiled with the headers of hiredis 0.14 and linked with either library. */
#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

#include "cases.h"

static void command(int len, char *cmd) {
    printf("%d ", len);
    if (len >= 0) {
        show(cmd, (size_t)len);
        printf(" %d", cmd[len]);
        redisFreeCommand(cmd);
    }
    putchar('\n');
}

#define FORMAT(...)                                       \
    do {                                                  \
        char *cmd = NULL;                                 \
        int len = redisFormatCommand(&cmd, __VA_ARGS__);  \
        printf("%s: ", #__VA_ARGS__);                     \
        command(len, cmd);                                \
    } while (0)

static void formats(void) {
    begin("formats");
    FORMAT("PING");
    FORMAT(" SET  foo   bar ");
    FORMAT("SET %s %s", "foo", "bar");
    FORMAT("SET %s %s", "", "a b");
    FORMAT("SET %b %b", "f\0o", (size_t)3, "", (size_t)0);
    FORMAT("%s%s%b-%%", "a", "b", "c", (size_t)1);
    FORMAT("SET %% %%%%");
    FORMAT("k:%d:%i %5d %-5d| %05d %+d % d", 1, -2, 3, 4, 5, 6, 7);
    FORMAT("%hhd %hd %ld %lld", 300, 70000, 1L << 40, -1LL);
    FORMAT("%u %hhu %hu %lu %llu", 1u, 300u, 70000u, 1ul << 40, ~0ull);
    FORMAT("%x %X %o %#x %lx", 255u, 255u, 8u, 255u, 255ul);
    FORMAT("%f %.3f %08.2f %e %E %g %G %a %A", 1.5, 2.0 / 3, 3.14159, 1e10, 1e-10, 0.1, 1e20, 1.0, 0.5);
    FORMAT("%-10.2f| %+g % g %#g", 1.5, 2.5, 3.5, 4.0);
    FORMAT("x%sy %s%d", "", "n", 5);
    FORMAT("\t%s", "tab");
    FORMAT("a\r\nb c");
    FORMAT("");
    FORMAT("  ");
    FORMAT("%s", "");
    FORMAT("%s ", "one");
    FORMAT(" %s", "one");

    begin("formats that are refused");
    FORMAT("SET %p", (void *)0);
    FORMAT("SET %k", 1);
    FORMAT("SET %c", 'x');
    FORMAT("SET %n", (void *)0);
    FORMAT("SET %10s", "x");
    FORMAT("SET %lls", "x");
    FORMAT("SET %llld", 1LL);
    FORMAT("SET %*d", 1, 2);

    begin("a format that ends inside a conversion");
    FORMAT("SET %-");
    begin("a long conversion");
    FORMAT("%000000000000012d", 1);
}

/* Conversions with the kind of argument that each takes. No conversion reaches 14 characters, from
 * where on they are a listed difference. */
enum { STRING, BYTES, INT, LONG_LONG, DOUBLE, KINDS };

static void conversion(char *to, int kind) {
    static const char *ints[] = {"d", "i", "u", "x", "X", "o", "hd", "hhd", "hu", "hhu"};
    static const char *longs[] = {"lld", "llu", "llx", "ld", "lu", "lx"};
    static const char *doubles[] = {"f", "e", "E", "g", "G"};
    static const char *flags[] = {"", "", "", "-", "+", " ", "0", "#", "-+", "0+"};
    char middle[12] = "";
    if (kind >= INT && below(2)) {
        int at = sprintf(middle, "%s", flags[below(10)]);
        if (below(2)) at += sprintf(middle + at, "%u", 1 + below(20));
        if (below(3) == 0) sprintf(middle + at, ".%u", below(9));
    }
    const char *end = kind == STRING ? "s"
                    : kind == BYTES  ? "b"
                    : kind == INT    ? ints[below(10)]
                    : kind == DOUBLE ? doubles[below(5)]
                                     : longs[below(6)];
    sprintf(to + strlen(to), "%%%s%s", middle, end);
}

static void words(char *to) {
    static const char *pieces[] = {"", " ", "a", "key:", " GET ", "  ", "%%", "\"", "\\", "x y", "{}"};
    for (unsigned n = below(3); n > 0; n--) strcat(to, pieces[below(11)]);
}

#define AS_STRING(n) text[n]
#define AS_BYTES(n) bytes[n], (size_t)size[n]
#define AS_INT(n) (int)number[n]
#define AS_LONG_LONG(n) (long long)number[n]
#define AS_DOUBLE(n) real[n]
#define CASE(a, b) case a * KINDS + b: len = redisFormatCommand(&cmd, format, AS_##a(0), AS_##b(1)); break;
#define CASES(a) CASE(a, STRING) CASE(a, BYTES) CASE(a, INT) CASE(a, LONG_LONG) CASE(a, DOUBLE)

static void random_formats(void) {
    for (int i = 0; i < 5000; i++) {
        if (i % 500 == 0) begin("random formats from %d", i);
        char format[200] = "", text[2][40], bytes[2][40], *cmd = NULL;
        size_t size[2];
        long long number[2];
        double real[2];
        int kind[2], len = 0;
        for (int n = 0; n < 2; n++) {
            kind[n] = (int)below(KINDS);
            words(format);
            conversion(format, kind[n]);
            size_t length = random_bytes(text[n], 39);
            text[n][length] = 0;
            size[n] = random_bytes(bytes[n], 40);
            number[n] = (long long)(((uint64_t)below(1u << 31) << 33) ^ below(1u << 31)) >> below(64);
            if (below(2)) number[n] = -number[n];
            real[n] = (double)number[n] / (1 + below(1000));
        }
        words(format);
        switch (kind[0] * KINDS + kind[1]) {
            CASES(STRING)
            CASES(BYTES)
            CASES(INT)
            CASES(LONG_LONG)
            CASES(DOUBLE)
        }
        show(format, strlen(format));
        putchar(' ');
        command(len, cmd);
    }
}

static void random_arguments(void) {
    for (int i = 0; i < 2000; i++) {
        if (i % 500 == 0) begin("random arguments from %d", i);
        char store[12][60], *cmd = NULL;
        const char *argv[12];
        size_t lengths[12];
        int argc = (int)below(13), with_lengths = (int)below(3);
        for (int n = 0; n < argc; n++) {
            lengths[n] = random_bytes(store[n], 59);
            store[n][lengths[n]] = 0;
            argv[n] = store[n];
        }
        /* The results were ints until 1.0. */
        int len = (int)redisFormatCommandArgv(&cmd, argc, argv, with_lengths ? lengths : NULL);
        command(len, cmd);
        sds string = NULL;
        len = (int)redisFormatSdsCommandArgv(&string, argc, argv, with_lengths ? lengths : NULL);
        printf("%d %zu ", len, sdslen(string));
        show(string, sdslen(string));
        putchar('\n');
        sdsfree(string);
    }
}

/* ---- Strings ------------------------------------------------------------------------------ */

static void list(sds *strings, int count) {
    printf("%d", count);
    for (int i = 0; i < count; i++) {
        putchar(' ');
        show(strings[i], sdslen(strings[i]));
    }
    putchar('\n');
}

static sds changed(sds s) {
    char text[80], from[4] = "abc", to[4] = "xyz";
    size_t len = random_bytes(text, 79);
    text[len] = 0;
    unsigned what = below(16);
    printf("%u ", what);
    switch (what) {
    case 0: return sdscatlen(s, text, len);
    case 1: return sdscat(s, text);
    case 2: return sdscpylen(s, text, len);
    case 3: return sdscpy(s, text);
    case 4: return sdstrim(s, "abc \r\n");
    case 5: return sdscatprintf(s, "%s|%5d|%.3f", text, (int)len, (double)len / 7);
    case 6: {
        sds other = sdsnewlen(text, len);
        s = sdscatfmt(s, "%s|%i|%u|%I|%U|%%|%S", text, -(int)len, (unsigned)len, -(1LL << 40), ~0ull, other);
        sdsfree(other);
        return s;
    }
    case 7: return sdscatrepr(s, text, len);
    case 8: sdstolower(s); return s;
    case 9: sdstoupper(s); return s;
    case 10: return sdsmapchars(s, from, to, 3);
    case 11: return sdsgrowzero(s, sdslen(s) + below(20));
    case 12: {
        sds room = sdsMakeRoomFor(s, 10);
        memcpy(room + sdslen(room), "0123456789", 10);
        sdsIncrLen(room, 10);
        sdsIncrLen(room, -3);
        return room;
    }
    case 13: return sdsRemoveFreeSpace(s);
    case 14: {
        sds twice = sdscatsds(sdsdup(s), s);
        int order = sdscmp(s, twice);
        printf("[%d] ", (order > 0) - (order < 0));
        sdsfree(s);
        return twice;
    }
    default: {
        if (sdslen(s) > 0) s[below((unsigned)sdslen(s))] = 0;
        sdsupdatelen(s);
        return s;
    }
    }
}

static void strings(void) {
    for (int i = 0; i < 300; i++) {
        if (i % 100 == 0) begin("random changes of strings from %d", i);
        sds s = sdsempty();
        for (int n = 0; n < 20; n++) {
            s = changed(s);
            if (sdslen(s) > 3000) sdsclear(s);
            show(s, sdslen(s));
            printf(" %d\n", s[sdslen(s)]);
        }
        sdsfree(s);
    }
    for (int i = 0; i < 1000; i++) {
        if (i % 500 == 0) begin("random strings split and joined from %d", i);
        char text[100];
        int count = 0, len = (int)random_bytes(text, 99);
        text[len] = 0;
        sds *parts = sdssplitlen(text, len, below(2) ? " " : "a", 1, &count);
        if (parts == NULL) {
            puts("none");
        } else {
            list(parts, count);
            sds joined = sdsjoinsds(parts, count, ", ", 2);
            show(joined, sdslen(joined));
            putchar('\n');
            sdsfree(joined);
        }
        sdsfreesplitres(parts, count);
        parts = sdssplitargs(text, &count);
        if (parts == NULL) {
            printf("unbalanced %d\n", count);
        } else {
            list(parts, count);
        }
        sdsfreesplitres(parts, count);
    }
    begin("numbers");
    static const long long numbers[] = {0, 1, -1, 10, -99, 1LL << 31, -(1LL << 31), INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        sds s = sdsfromlonglong(numbers[i]);
        puts(s);
        sdsfree(s);
    }
}

int main(int argc, char **argv) {
    seed(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
    formats();
    random_formats();
    random_arguments();
    strings();
    return 0;
}
