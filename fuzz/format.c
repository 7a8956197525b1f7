/* Target format: commands by a format and by arguments, against a plain formatter that leaves the
 * numbers to snprintf.
 *
 *   what         see enum
 *   faults       two bytes, see in_faults
 *   then for a format: its length, its bytes up to a NUL, and a value for each conversion in turn;
 *   for arguments: their number, and for each a length and its bytes */
#include "fuzz.h"
#include "varargs.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/async.h>

enum { FORMAT, V_FORMAT, APPEND, ARGV, ARGV_STRINGS, SDS_ARGV, APPEND_ARGV, APPEND_FORMATTED, WHATS };
enum { MOST_ARGUMENTS = 40, MOST_DIGITS = 4 };

static struct {
    struct text format, command, argument;
    struct text value[VARARGS_WORDS];   /* what %s and %b stand for */
    int values, arguments;
    struct varargs args;
    int result;         /* 0, or what redisvFormatCommand returns */
    int null;           /* the reason is a NULL for %s or %b */
} f;

/* ---- The reference ----------------------------------------------------------------------- */

static void end_argument(int *touched) {
    if (!*touched) return;
    text_printf(&f.command, "$%zu\r\n", f.argument.len);
    text_add(&f.command, f.argument.p, f.argument.len);
    text_add(&f.command, "\r\n", 2);
    text_clear(&f.argument);
    f.arguments++;
    *touched = 0;
}

/* Puts *<argc> before the arguments. */
static void end_command(void) {
    struct text whole = {0};
    text_printf(&whole, "*%d\r\n", f.arguments);
    text_add(&whole, f.command.p, f.command.len);
    text_free(&f.command);
    f.command = whole;
}

/* %s or %b: the text comes from the input, or is NULL. */
static void string_value(struct input *in, int binary) {
    uint8_t size = in_byte(in);
    size_t n;
    struct text *v = &f.value[f.values++];
    text_clear(v);
    text_add(v, "", 0);
    if (size < 200) {
        const uint8_t *p = in_bytes(in, size % 64u, &n);
        text_add(v, p, n);
    } else {
        text_fill(v, 'v', (size - 199u) * 40u);
    }
    int null = size == 199;
    n = binary ? v->len : strlen(v->p);
    varargs_pointer(&f.args, null ? NULL : v->p);
    if (binary) varargs_word(&f.args, n);
    if (null && (!binary || n > 0)) {
        f.result = -1;
        f.null = 1;
        return;
    }
    text_add(&f.argument, v->p, n);
}

static size_t span(const char *p, const char *set) {
    return strspn(p, set);
}

/* A number, by snprintf. Returns the length of the conversion, 0 if it is none, -1 if it is one
 * that takes too long to print. */
static int number_value(struct input *in, const char *spec) {
    char copy[400], *buf;
    size_t flags = 1 + span(spec + 1, "#0-+ "), at = flags + span(spec + flags, "0123456789");
    size_t digits[2] = {at - flags, 0};
    if (spec[at] == '.') {
        digits[1] = span(spec + at + 1, "0123456789");
        at += 1 + digits[1];
    }
    if (digits[0] > MOST_DIGITS || digits[1] > MOST_DIGITS) return -1;
    int h = 0, l = 0;
    while (spec[at] == 'h' && h < 2) h++, at++;
    while (h == 0 && spec[at] == 'l' && l < 2) l++, at++;
    if (spec[at] == '\0') return 0;
    int is_integer = strchr("diouxX", spec[at]) != NULL, is_float = strchr("eEfFgGaA", spec[at]) != NULL;
    if (!is_integer && !(is_float && h == 0 && l == 0)) return 0;
    int len = (int)at + 1;
    /* Longer ones than any printf is asked for may be refused. */
    if (len > 60) return -1;
    memcpy(copy, spec, (size_t)len);
    copy[len] = '\0';
    uint64_t word = (uint64_t)in_word(in) << 32 | in_word(in);
    double number;
    memcpy(&number, &word, sizeof(number));
    /* Small numbers more often than the bytes of the input would. */
    if (is_float && in_below(in, 2)) number = (double)(int64_t)word / 1000.0;
    buf = malloc(12000);
    if (buf == NULL) abort();
    int n = is_float ? snprintf(buf, 12000, copy, number)
            : l == 2 ? snprintf(buf, 12000, copy, (long long)word)
            : l == 1 ? snprintf(buf, 12000, copy, (long)word)
                     : snprintf(buf, 12000, copy, (int)word);
    if (n < 0 || n >= 12000) abort();
    text_add(&f.argument, buf, (size_t)n);
    free(buf);
    if (is_float) varargs_double(&f.args, number);
    else varargs_word(&f.args, word);
    return len;
}

/* Formats; 0 when this format is not worth a call: more arguments than can be passed, or megabytes. */
static int reference(struct input *in) {
    int touched = 0;
    for (const char *p = f.format.p; *p != '\0' && f.result == 0;) {
        if (*p == ' ') {
            end_argument(&touched);
            p++;
            continue;
        }
        touched = 1;
        if (f.args.words + 2 > VARARGS_WORDS || f.args.numbers + 1 > VARARGS_DOUBLES) return 0;
        if (*p != '%' || p[1] == '\0' || p[1] == '%') {
            text_add(&f.argument, p, 1);
            p += 1 + (*p == '%' && p[1] == '%');
        } else if (p[1] == 's' || p[1] == 'b') {
            string_value(in, p[1] == 'b');
            p += 2;
        } else {
            int len = number_value(in, p);
            if (len < 0) return 0;
            if (len == 0) f.result = -2;
            p += len;
        }
    }
    end_argument(&touched);
    end_command();
    return 1;
}

/* ---- Calls ------------------------------------------------------------------------------- */

static char untouched;

static int v_format(char **target, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = redisvFormatCommand(target, format, ap);
    va_end(ap);
    return n;
}

/* A result and its text, whatever function they are from. */
static void check(long long n, const char *got, int want) {
    if (n < 0) {
        if (n == want) return;
        if (alloc_failures() == 0) FAIL("\"%s\" gave %lld, the reference has %d", f.format.p, n, want);
        CHECK_INT(n, -1);
        return;
    }
    if (want < 0) FAIL("\"%s\" was accepted, the reference has %d", f.format.p, want);
    if (planted("disagree")) text_add(&f.command, "!", 1);
    same_text("command", got, (size_t)n, &f.command);
    CHECK_INT(got[n], 0);
}

static void call_format(int v) {
    char *target = &untouched;
    int n = v ? v_format(&target, f.format.p, VARARGS(f.args))
              : redisFormatCommand(&target, f.format.p, VARARGS(f.args));
    check(n, target, f.result == 0 || v ? f.result : -1);
    if (n < 0) {
        CHECK(target == &untouched);
        return;
    }
    CHECK(alloc_owns(target));
    redisFreeCommand(target);
}

/* What an append leaves in obuf, behind what was there. */
static void check_append(redisContext *c, const struct text *before, int status, int want) {
    same_text("obuf", c->obuf, before->len, before);
    CHECK_INT(c->obuf[sdslen(c->obuf)], 0);
    if (status == REDIS_OK) {
        check((long long)(sdslen(c->obuf) - before->len), c->obuf + before->len, want);
        CHECK_INT(c->err, 0);
        return;
    }
    CHECK_INT(status, REDIS_ERR);
    CHECK_INT(sdslen(c->obuf), before->len);
    if (c->err == REDIS_ERR_OTHER && want < 0) {
        CHECK_STR(c->errstr, f.null ? "NULL argument" : "Invalid format string");
        return;
    }
    CHECK_INT(c->err, REDIS_ERR_OOM);
    CHECK_STR(c->errstr, "Out of memory");
    CHECK(alloc_failures() > 0);
}

static redisContext *context_with(const struct text *before) {
    redisContext *c = redisConnectFd(REDIS_INVALID_FD);
    if (c == NULL) {
        CHECK(alloc_failures() > 0);
        return NULL;
    }
    if (redisAppendFormattedCommand(c, before->p, before->len) == REDIS_OK) return c;
    CHECK(alloc_failures() > 0);
    redisFree(c);
    return NULL;
}

/* ---- One input ---------------------------------------------------------------------------- */

static void play_format(struct input *in, struct input *faults, int what, const struct text *before) {
    size_t n;
    const uint8_t *p = in_bytes(in, in_byte(in), &n);
    text_clear(&f.format);
    text_add(&f.format, p, n);
    f.format.len = strlen(f.format.p);
    if (!reference(in)) return;
    in_faults(faults);
    if (what != APPEND) {
        call_format(what == V_FORMAT);
        return;
    }
    redisContext *c = context_with(before);
    if (c == NULL) return;
    check_append(c, before, redisAppendCommand(c, f.format.p, VARARGS(f.args)), f.result);
    redisFree(c);
}

static void play_arguments(struct input *in, struct input *faults, int what, const struct text *before) {
    static struct text words[MOST_ARGUMENTS];
    const char *argv[MOST_ARGUMENTS];
    size_t lens[MOST_ARGUMENTS], got;
    int argc = (int)in_below(in, MOST_ARGUMENTS + 1) - 1, want = 0, touched = 1;
    text_clear(&f.format);
    text_printf(&f.format, "%d arguments", argc);
    for (int i = 0; i < argc; i++) {
        uint8_t size = in_byte(in);
        text_clear(&words[i]);
        text_add(&words[i], "", 0);
        if (size < 250) {
            const uint8_t *p = in_bytes(in, size % 50u, &got);
            text_add(&words[i], p, got);
        } else {
            text_fill(&words[i], 'w', (size - 249u) * (size - 249u) * 500u);
        }
        /* NULL may stand for nothing. */
        argv[i] = size == 249 ? NULL : words[i].p;
        lens[i] = what == ARGV_STRINGS ? strlen(words[i].p) : words[i].len;
        if (argv[i] == NULL && (lens[i] > 0 || what == ARGV_STRINGS)) want = -1;
        text_add(&f.argument, words[i].p, lens[i]);
        end_argument(&touched);
        touched = 1;
    }
    end_command();
    if (argc < 0) want = -1;
    in_faults(faults);
    if (what == ARGV || what == ARGV_STRINGS) {
        char *target = &untouched;
        long long n = redisFormatCommandArgv(&target, argc, argv, what == ARGV ? lens : NULL);
        check(n, target, want);
        if (n < 0) CHECK(target == &untouched);
        else redisFreeCommand(target);
    } else if (what == SDS_ARGV) {
        sds target = &untouched;
        long long n = redisFormatSdsCommandArgv(&target, argc, argv, lens);
        check(n, target, want);
        if (n < 0) CHECK(target == &untouched);
        else CHECK_INT(sdslen(target), n);
        redisFreeSdsCommand(n < 0 ? NULL : target);
    } else {
        redisContext *c = context_with(before);
        if (c == NULL) return;
        int status = what == APPEND_ARGV ? redisAppendCommandArgv(c, argc, argv, lens)
                                         : redisAppendFormattedCommand(c, f.command.p, f.command.len);
        if (what == APPEND_ARGV && want < 0) {
            /* The only reason that append can give for it. */
            CHECK_INT(status, REDIS_ERR);
            CHECK_INT(sdslen(c->obuf), before->len);
        } else {
            check_append(c, before, status, 0);
        }
        redisFree(c);
    }
}

void fuzz_one(struct input *in) {
    static struct text before;
    int what = (int)in_below(in, WHATS);
    text_clear(&f.command);
    text_clear(&f.argument);
    memset(&f.args, 0, sizeof(f.args));
    f.values = f.arguments = f.result = f.null = 0;
    struct input faults = *in;
    in_byte(in);
    in_byte(in);
    text_clear(&before);
    text_fill(&before, 'b', in_byte(in));
    if (what <= APPEND) play_format(in, &faults, what, &before);
    else play_arguments(in, &faults, what, &before);
}
