/* Target sds: a script of calls on a few strings, against plain buffers that undergo the same. After
 * each call the string has the text, the length, its NUL, and lies in a block of the allocator.
 *
 * Each call is a byte for the function, one for the string, and what the function takes. */
#include "fuzz.h"
#include "varargs.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { STRINGS = 4, CALLS = 60, WORDS = 8 };

static struct string {
    sds s;              /* NULL: there is none */
    struct text want;
} strings[STRINGS];

static struct text arg[WORDS], out;

static void check(const struct string *t) {
    if (t->s == NULL) return;
    CHECK_INT(sdslen(t->s), t->want.len);
    same_text("string", t->s, sdslen(t->s), &t->want);
    CHECK_INT(t->s[sdslen(t->s)], 0);
    CHECK(sdslen(t->s) <= sdsalloc(t->s));
    CHECK_INT(sdsavail(t->s), sdsalloc(t->s) - sdslen(t->s));
    CHECK(alloc_owns(sdsAllocPtr(t->s)));
    /* The last byte of the block is the program's. */
    volatile char *last = (char *)sdsAllocPtr(t->s) + sdsAllocSize(t->s) - 1;
    (void)*last;
}

/* Takes what a call returned for the string; 1 if it worked. */
static int moved(struct string *t, sds result) {
    if (result == NULL) {
        if (t->s != NULL && alloc_failures() == 0) FAIL("NULL although memory was there");
        return 0;
    }
    CHECK(t->s != NULL);
    t->s = result;
    return 1;
}

static void made(struct string *t, sds result) {
    sdsfree(t->s);
    t->s = result;
    if (result == NULL) CHECK(alloc_failures() > 0);
}

static void set(struct text *t, const void *p, size_t n) {
    text_clear(t);
    text_add(t, p, n);
}

/* A text from the input: as it stands there, or a long one of one byte. */
static const struct text *text_of(struct input *in, int i) {
    uint8_t size = in_byte(in);
    size_t n;
    text_clear(&arg[i]);
    text_add(&arg[i], "", 0);
    if (size < 200) {
        const uint8_t *p = in_bytes(in, size % 50u, &n);
        text_add(&arg[i], p, n);
    } else {
        text_fill(&arg[i], in_byte(in), (size - 199u) * (size > 250 ? 1200u : 9u));
    }
    return &arg[i];
}

/* For what is looked for in a text: both long would take the square of it. */
static const struct text *short_text_of(struct input *in, int i) {
    text_of(in, i);
    if (arg[i].len > 300) {
        arg[i].len = 300;
        arg[i].p[300] = '\0';
    }
    return &arg[i];
}

static const char *c_text_of(struct input *in, int i) {
    text_of(in, i);
    arg[i].len = strlen(arg[i].p);
    return arg[i].p;
}

static void quoted(struct text *t, const char *p, size_t n) {
    text_add(t, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        const char *escapes = "\nn\rr\tt\aa\bb", *e = c != '\0' ? strchr(escapes, c) : NULL;
        if (c == '\\' || c == '"') text_printf(t, "\\%c", c);
        else if (e != NULL && (e - escapes) % 2 == 0) text_printf(t, "\\%c", e[1]);
        else text_printf(t, isprint(c) ? "%c" : "\\x%02x", c);
    }
    text_add(t, "\"", 1);
}

/* ---- Functions that return a list ------------------------------------------------------ */

static void check_list(sds *got, int count, const struct text *want, int n) {
    if (got == NULL) {
        if (alloc_failures() == 0) FAIL("no list although memory was there; the reference has %d", n);
        CHECK_INT(count, 0);
        return;
    }
    if (count != n) FAIL("%d strings, the reference has %d", count, n);
    for (int i = 0; i < n; i++) {
        same_text("part", got[i], sdslen(got[i]), &want[i]);
        CHECK_INT(got[i][sdslen(got[i])], 0);
    }
    sdsfreesplitres(got, count);
}

static void split(struct input *in) {
    const struct text *line = text_of(in, 0), *sep = short_text_of(in, 1);
    static struct text want[70000];
    int n = 0, count = -1;
    sds *got = sdssplitlen(line->p, (int)line->len, sep->p, (int)sep->len, &count);
    if (sep->len == 0) {
        CHECK(got == NULL);
        CHECK_INT(count, -1);
        return;
    }
    if (line->len > 0) {
        for (size_t i = 0, from = 0; n < 70000; i++) {
            int at_end = i + sep->len > line->len;
            if (!at_end && memcmp(line->p + i, sep->p, sep->len) != 0) continue;
            size_t end = at_end ? line->len : i;
            set(&want[n++], line->p + from, end - from);
            if (at_end) break;
            from = i + sep->len;
            i = from - 1;
        }
    }
    check_list(got, count, want, n);
    for (int i = 0; i < n; i++) text_free(&want[i]);
}

static int hex(char c) {
    return isxdigit((unsigned char)c);
}

/* The words of a line; -1 when its quotes are wrong. */
static int shell_words(const char *p, struct text *want, int most) {
    int n = 0;
    for (;;) {
        while (*p != '\0' && isspace((unsigned char)*p)) p++;
        if (*p == '\0' || n == most) return n;
        struct text *w = &want[n++];
        char quote = '\0';
        text_add(w, "", 0);
        for (;; p++) {
            if (quote == '\0') {
                if (*p == '\0' || *p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') break;
                if (*p == '"' || *p == '\'') quote = *p;
                else text_add(w, p, 1);
            } else if (*p == '\0') {
                return -1;
            } else if (*p == quote) {
                p++;
                if (*p != '\0' && !isspace((unsigned char)*p)) return -1;
                break;
            } else if (*p == '\\' && quote == '\'' && p[1] == '\'') {
                text_add(w, ++p, 1);
            } else if (*p == '\\' && quote == '"' && p[1] == 'x' && hex(p[2]) && hex(p[3])) {
                const char pair[3] = {p[2], p[3], '\0'};
                char c = (char)strtol(pair, NULL, 16);
                text_add(w, &c, 1);
                p += 3;
            } else if (*p == '\\' && quote == '"' && p[1] != '\0') {
                const char *known = strchr("nrtba", *++p);
                text_add(w, known != NULL ? &"\n\r\t\b\a"[known - "nrtba"] : p, 1);
            } else {
                text_add(w, p, 1);
            }
        }
    }
}

static void split_words(struct input *in) {
    static struct text want[300];
    int count = -1;
    if (in->at < in->end && *in->at >= 200) return;     /* nothing long here */
    const char *line = c_text_of(in, 0);
    int n = shell_words(line, want, 300);
    sds *got = sdssplitargs(line, &count);
    if (n < 0) {
        CHECK(got == NULL);
        CHECK_INT(count, 0);
    } else {
        check_list(got, count, want, n);
    }
    for (int i = 0; i < 300; i++) text_free(&want[i]);
}

static void join(struct input *in, struct string *t) {
    int n = (int)in_below(in, WORDS - 1), of_sds = (int)in_below(in, 2);
    char *words[WORDS];
    sds parts[WORDS];
    const struct text *sep = text_of(in, WORDS - 1);
    if (!of_sds) arg[WORDS - 1].len = strlen(sep->p);
    text_clear(&out);
    text_add(&out, "", 0);
    for (int i = 0; i < n; i++) {
        if (of_sds) text_of(in, i);
        else c_text_of(in, i);
        words[i] = arg[i].p;
        parts[i] = of_sds ? sdsnewlen(arg[i].p, arg[i].len) : NULL;
        /* NULL counts as an empty text. */
        if (of_sds && parts[i] == NULL) text_clear(&arg[i]);
        if (i > 0) text_add(&out, sep->p, sep->len);
        text_add(&out, arg[i].p, arg[i].len);
    }
    made(t, of_sds ? sdsjoinsds(parts, n, sep->p, sep->len) : sdsjoin(words, n, arg[WORDS - 1].p));
    set(&t->want, out.p, out.len);
    for (int i = 0; i < n; i++) sdsfree(parts[i]);
}

/* ---- Functions that format -------------------------------------------------------------- */

static void cat_fmt(struct input *in, struct string *t) {
    struct varargs v = {0};
    c_text_of(in, 0);
    sds other = sdsnewlen("o\0o", 3);
    text_clear(&out);
    text_add(&out, "", 0);
    for (const char *p = arg[0].p; *p != '\0'; p++) {
        int spec = *p == '%' && p[1] != '\0' && v.words < VARARGS_WORDS;
        /* More than there are arguments, or nothing behind the percent sign: the end. */
        if (*p == '%' && !spec) {
            if (p[1] != '\0') arg[0].p[p - arg[0].p] = '\0';
            break;
        }
        if (!spec) {
            text_add(&out, p, 1);
            continue;
        }
        uint64_t word = strchr("iIuU", *++p) != NULL ? (uint64_t)in_word(in) << 32 | in_word(in) : 0;
        switch (*p) {
        case 's':
            varargs_pointer(&v, in_below(in, 8) ? "text" : NULL);
            if (v.word[v.words - 1] != 0) text_add(&out, "text", 4);
            break;
        case 'S':
            varargs_pointer(&v, other);
            if (other != NULL) text_add(&out, "o\0o", 3);
            break;
        case 'i': text_printf(&out, "%d", (int)word); varargs_word(&v, word); break;
        case 'I': text_printf(&out, "%lld", (long long)word); varargs_word(&v, word); break;
        case 'u': text_printf(&out, "%u", (unsigned)word); varargs_word(&v, word); break;
        case 'U': text_printf(&out, "%llu", (unsigned long long)word); varargs_word(&v, word); break;
        default: text_add(&out, p, 1);
        }
    }
    if (moved(t, sdscatfmt(t->s, arg[0].p, VARARGS(v)))) text_add(&t->want, out.p, out.len);
    sdsfree(other);
}

static void cat_printf(struct input *in, struct string *t) {
    const char *s = c_text_of(in, 0);
    int n = (int)(int16_t)in_word(in), k = (int)in_below(in, 4);
    int width = n % 3000;
    sds got = k == 0   ? sdscatprintf(t->s, "%s", s)
              : k == 1 ? sdscatprintf(t->s, "<%*d %s>", width, n, s)
              : k == 2 ? sdscatprintf(t->s, "%.3f %c", n / 7.0, n & 255)
                       : sdscatprintf(t->s, "%s%s%x%%", s, s, (unsigned)n);
    if (!moved(t, got)) return;
    size_t room = 2 * strlen(s) + 4000;
    char *buf = malloc(room);
    if (buf == NULL) abort();
    if (k == 0) snprintf(buf, room, "%s", s);
    else if (k == 1) snprintf(buf, room, "<%*d %s>", width, n, s);
    else if (k == 2) snprintf(buf, room, "%.3f %c", n / 7.0, n & 255);
    else snprintf(buf, room, "%s%s%x%%", s, s, (unsigned)n);
    text_add(&t->want, buf, strlen(buf));
    free(buf);
}

/* ---- Functions that change a string in place ---------------------------------------------- */

static ssize_t position(struct input *in) {
    static const ssize_t far[] = {SSIZE_MAX, -SSIZE_MAX - 1, 100000, -100000};
    uint8_t b = in_byte(in);
    return b < 4 ? far[b] : (ssize_t)(int8_t)b;
}

static void range(struct input *in, struct string *t) {
    ssize_t start = position(in), end = position(in), len = (ssize_t)t->want.len;
    CHECK_INT(sdsrange(t->s, start, end), 0);
    if (t->s == NULL) return;
    if (start < 0) start = start < -len ? 0 : start + len;
    if (end < 0) end = end < -len ? 0 : end + len;
    if (end >= len) end = len - 1;
    if (start > end || start >= len) {
        set(&t->want, "", 0);
        return;
    }
    set(&out, t->want.p + start, (size_t)(end - start + 1));
    set(&t->want, out.p, out.len);
}

static void trim(struct input *in, struct string *t) {
    const char *cset = short_text_of(in, 0)->p;
    CHECK(sdstrim(t->s, cset) == t->s);
    if (t->s == NULL) return;
    size_t from = 0, to = t->want.len;
    /* strchr finds the NUL at the end of the set as well. */
    while (from < to && strchr(cset, t->want.p[from]) != NULL) from++;
    while (to > from && strchr(cset, t->want.p[to - 1]) != NULL) to--;
    set(&out, t->want.p + from, to - from);
    set(&t->want, out.p, out.len);
}

static void map_chars(struct input *in, struct string *t) {
    const struct text *from = short_text_of(in, 0), *to = short_text_of(in, 1);
    size_t n = from->len < to->len ? from->len : to->len;
    CHECK(sdsmapchars(t->s, from->p, to->p, n) == t->s);
    for (size_t i = 0; t->s != NULL && i < t->want.len; i++) {
        const char *found = memchr(from->p, t->want.p[i], n);
        if (found != NULL) t->want.p[i] = to->p[found - from->p];
    }
}

static void change_case(struct string *t, int up) {
    if (up) sdstoupper(t->s);
    else sdstolower(t->s);
    for (size_t i = 0; t->s != NULL && i < t->want.len; i++) {
        unsigned char c = (unsigned char)t->want.p[i];
        t->want.p[i] = (char)(up ? toupper(c) : tolower(c));
    }
}

/* What was in the free room is the program's own. */
static void change_length(struct input *in, struct string *t) {
    int by = (int)(int8_t)in_byte(in);
    if (in_below(in, 16) == 0) by *= 1 << 20;
    if (t->s == NULL) {
        sdsIncrLen(NULL, by);
        return;
    }
    size_t len = sdslen(t->s), room = sdsavail(t->s);
    memset(t->s + len, 'r', room);
    sdsIncrLen(t->s, by);
    if (by < 0) {
        set(&out, t->want.p, (size_t)-by < len ? len - (size_t)-by : 0);
        set(&t->want, out.p, out.len);
        return;
    }
    text_fill(&t->want, 'r', (size_t)by < room ? (size_t)by : room);
}

static void compare(const struct string *a, const struct string *b) {
    size_t n = a->s != NULL ? a->want.len : 0, m = b->s != NULL ? b->want.len : 0;
    int got = sdscmp(a->s, b->s), want = 0;
    if (n > 0 && m > 0) want = memcmp(a->want.p, b->want.p, n < m ? n : m);
    if (want == 0) want = (n > m) - (n < m);
    CHECK_INT((got > 0) - (got < 0), (want > 0) - (want < 0));
}

/* ---- The script ----------------------------------------------------------------------------- */

static void call(struct input *in, int function, struct string *t, const struct string *other) {
    const struct text *a;
    size_t n;
    switch (function) {
    case 1:
        a = text_of(in, 0);
        made(t, sdsnewlen(a->p, a->len));
        set(&t->want, a->p, a->len);
        break;
    case 2: c_text_of(in, 0); made(t, sdsnew(arg[0].p)); set(&t->want, arg[0].p, arg[0].len); break;
    case 3: made(t, sdsempty()); set(&t->want, "", 0); break;
    case 4:
        n = in_byte(in) * 300u;
        made(t, sdsnewlen(NULL, n));
        set(&t->want, "", 0);
        text_fill(&t->want, 0, n);
        break;
    case 5:
        if (other->s == NULL || other == t) break;
        made(t, sdsdup(other->s));
        set(&t->want, other->want.p, other->want.len);
        break;
    case 6: {
        long long v = (long long)((uint64_t)in_word(in) << 32 | in_word(in));
        if (in_below(in, 4) == 0) v = LLONG_MIN;
        made(t, sdsfromlonglong(v));
        text_clear(&t->want);
        text_printf(&t->want, "%lld", v);
        break;
    }
    case 7: sdsfree(t->s); t->s = NULL; break;
    case 8:
        a = text_of(in, 0);
        if (moved(t, sdscatlen(t->s, a->p, a->len))) text_add(&t->want, a->p, a->len);
        break;
    case 9:
        c_text_of(in, 0);
        if (moved(t, sdscat(t->s, arg[0].p))) text_add(&t->want, arg[0].p, arg[0].len);
        break;
    case 10:
        if (other == t) break;
        if (moved(t, sdscatsds(t->s, other->s)) && other->s != NULL)
            text_add(&t->want, other->want.p, other->want.len);
        break;
    case 11:
        a = text_of(in, 0);
        if (moved(t, sdscpylen(t->s, a->p, a->len))) set(&t->want, a->p, a->len);
        break;
    case 12:
        c_text_of(in, 0);
        if (moved(t, sdscpy(t->s, arg[0].p))) set(&t->want, arg[0].p, arg[0].len);
        break;
    case 13:
        n = in_byte(in) * 300u;
        if (moved(t, sdsgrowzero(t->s, n)) && t->want.len < n) text_fill(&t->want, 0, n - t->want.len);
        break;
    case 14: cat_fmt(in, t); break;
    case 15: cat_printf(in, t); break;
    case 16:
        a = text_of(in, 0);
        text_clear(&out);
        quoted(&out, a->p, a->len);
        if (moved(t, sdscatrepr(t->s, a->p, a->len))) text_add(&t->want, out.p, out.len);
        break;
    case 17: trim(in, t); break;
    case 18: range(in, t); break;
    case 19:
        sdsupdatelen(t->s);
        if (t->s != NULL) t->want.len = strlen(t->want.p);
        break;
    case 20: sdsclear(t->s); set(&t->want, "", 0); break;
    case 21: change_case(t, (int)in_below(in, 2)); break;
    case 22: map_chars(in, t); break;
    case 23: compare(t, other); break;
    case 24: split(in); break;
    case 25: split_words(in); break;
    case 26: join(in, t); break;
    case 27:
        n = in_byte(in) * 300u;
        if (moved(t, sdsMakeRoomFor(t->s, n))) CHECK(sdsavail(t->s) >= n);
        break;
    case 28: change_length(in, t); break;
    case 29:
        if (moved(t, sdsRemoveFreeSpace(t->s))) CHECK_INT(sdsavail(t->s), 0);
        break;
    case 30:
        /* More than there is: refused without a request that would be granted. */
        CHECK(sdsMakeRoomFor(t->s, SIZE_MAX - in_byte(in)) == NULL);
        CHECK(sdsgrowzero(t->s, SIZE_MAX - in_byte(in)) == NULL);
        break;
    default: break;
    }
}

void fuzz_one(struct input *in) {
    in_faults(in);
    for (int i = 0; i < CALLS && in_left(in) > 0; i++) {
        int function = (int)in_below(in, 31), which = in_byte(in);
        struct string *t = &strings[which % STRINGS];
        call(in, function, t, &strings[which / STRINGS % STRINGS]);
        if (planted("disagree")) text_add(&t->want, "!", 1);
        check(t);
        /* Long texts take time; there is nothing new about a longer one. */
        if (t->want.len > 100000) {
            sdsfree(t->s);
            t->s = NULL;
        }
    }
    for (int k = 0; k < STRINGS; k++) {
        check(&strings[k]);
        sdsfree(strings[k].s);
        strings[k].s = NULL;
        text_clear(&strings[k].want);
    }
}
