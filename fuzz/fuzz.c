#include "fuzz.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

/* ---- The input ---------------------------------------------------------------------- */

uint8_t in_byte(struct input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

unsigned in_below(struct input *in, unsigned n) {
    return in_byte(in) % n;
}

uint32_t in_word(struct input *in) {
    uint32_t word = 0;
    for (int i = 0; i < 4; i++) word = word << 8 | in_byte(in);
    return word;
}

size_t in_left(const struct input *in) {
    return (size_t)(in->end - in->at);
}

const uint8_t *in_bytes(struct input *in, size_t n, size_t *got) {
    const uint8_t *start = in->at;
    *got = n < in_left(in) ? n : in_left(in);
    in->at += *got;
    return start;
}

void in_faults(struct input *in) {
    uint8_t how = in_byte(in), k = in_byte(in);
    if (how < 128) return;
    if (how < 192) alloc_fail_at(1u + k);
    else alloc_fail_from(1u + k);
}

/* ---- Text --------------------------------------------------------------------------- */

/* Where n more bytes go, and a NUL behind them. */
static char *more(struct text *t, size_t n) {
    if (t->room - t->len < n + 1 || t->p == NULL) {
        t->room = (t->len + n + 1) * 2;
        t->p = realloc(t->p, t->room);
        if (t->p == NULL) abort();
    }
    char *at = t->p + t->len;
    at[n] = '\0';
    t->len += n;
    return at;
}

void text_add(struct text *t, const void *p, size_t n) {
    char *at = more(t, n);
    if (n > 0) memcpy(at, p, n);
}

void text_fill(struct text *t, int c, size_t n) {
    memset(more(t, n), c, n);
}

void text_printf(struct text *t, const char *format, ...) {
    char buf[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(buf, sizeof(buf), format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(buf)) abort();
    text_add(t, buf, (size_t)n);
}

void text_clear(struct text *t) {
    t->len = 0;
    if (t->p != NULL) t->p[0] = '\0';
}

void text_free(struct text *t) {
    free(t->p);
    memset(t, 0, sizeof(*t));
}

const char *shown(const void *p, size_t n) {
    static char buf[4][700];
    static unsigned next;
    char *out = buf[next++ % 4];
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)p)[i];
        if (len > sizeof(buf[0]) - 20) {
            sprintf(out + len, "... (%zu bytes)", n);
            return out;
        }
        len += (size_t)sprintf(out + len, isprint(c) && c != '\\' ? "%c" : "\\x%02x", c);
    }
    out[len] = '\0';
    return out;
}

void same_text(const char *what, const void *got, size_t len, const struct text *want) {
    if (len == want->len && (len == 0 || memcmp(got, want->p, len) == 0)) return;
    FAIL("%s: got \"%s\", the reference has \"%s\"", what, shown(got, len), shown(want->p, want->len));
}

/* ---- Findings ----------------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    fprintf(stderr, "FINDING %s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

void test_check_int(const char *file, int line, const char *expr, long long got, long long want) {
    if (got != want) test_fail(file, line, "%s is %lld, must be %lld", expr, got, want);
}

void test_check_str(const char *file, int line, const char *expr, const char *got, const char *want) {
    if (strcmp(got, want) != 0) test_fail(file, line, "%s is \"%s\", must be \"%s\"", expr, got, want);
}

static int telling;

void tell(const char *format, ...) {
    va_list ap;
    if (!telling) return;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- Planted faults ----------------------------------------------------------------- */

static const char *plant;

int planted(const char *what) {
    return plant != NULL && strcmp(plant, what) == 0;
}

static void plant_faults(void) {
    if (planted("leak")) sdsempty();
    if (planted("double-free")) {
        void *p = hi_malloc(1);
        hi_free(p);
        hi_free(p);
    }
    char *block = malloc(10);
    if (block == NULL) abort();
    memset(block, 'x', 10);
    volatile char *past = block + 10;
    if (planted("past-the-end")) (void)*past;
    /* Here the library reads a byte that is not there. */
    if (planted("past-the-end-in-rust")) sdsfree(sdsnewlen(block, 11));
    free(block);
    if (planted("after-free-in-rust")) sdsfree(sdsnewlen(block, 10));
}

/* ---- libFuzzer ---------------------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    plant = getenv("FUZZ_PLANT");
    telling = getenv("FUZZ_TELL") != NULL;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    alloc_count_begin();
    if (plant != NULL) plant_faults();
    fuzz_one(&in);
    alloc_fail_never();
    alloc_count_end();
    return 0;
}
