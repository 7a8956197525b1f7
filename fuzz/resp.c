#include "resp.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- The text ------------------------------------------------------------------------ */

static const char letters[] = "?$*:_+-,#%~|>(=";

void resp_string(struct text *out, int type, const char *p, size_t len) {
    text_printf(out, "%c%zu ", letters[type], len);
    text_add(out, p, len);
}

void resp_integer(struct text *out, long long value) {
    text_printf(out, ":%lld ", value);
}

void resp_double(struct text *out, double value, const char *p, size_t len) {
    /* The sign of a NaN means nothing. */
    if (isnan(value)) text_printf(out, ",nan ");
    else text_printf(out, ",%a ", value);
    resp_string(out, REDIS_REPLY_DOUBLE, p, len);
}

void resp_bool(struct text *out, int value) {
    text_printf(out, "#%d ", value);
}

void resp_nil(struct text *out, int missing) {
    text_printf(out, "_%c ", missing ? letters[missing] : ' ');
}

void resp_array(struct text *out, int type, size_t elements) {
    text_printf(out, "%c%zu[ ", letters[type], elements);
}

void resp_text(struct text *out, const redisReply *r) {
    if (r == NULL) FAIL("an element is NULL");
    int has_str = r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
                  r->type == REDIS_REPLY_ERROR || r->type == REDIS_REPLY_BIGNUM ||
                  r->type == REDIS_REPLY_VERB || r->type == REDIS_REPLY_DOUBLE;
    int has_elements = r->type == REDIS_REPLY_ARRAY || r->type == REDIS_REPLY_MAP ||
                       r->type == REDIS_REPLY_SET || r->type == REDIS_REPLY_ATTR ||
                       r->type == REDIS_REPLY_PUSH;
    /* What a type does not use is 0. */
    if (has_str != (r->str != NULL)) FAIL("type %d with str %p", r->type, (void *)r->str);
    if (!has_str && r->len != 0) FAIL("type %d with len %zu", r->type, r->len);
    if (has_str && r->str[r->len] != '\0') FAIL("type %d without a NUL behind the text", r->type);
    if ((has_elements && r->elements > 0) != (r->element != NULL))
        FAIL("type %d with %zu elements at %p", r->type, r->elements, (void *)r->element);
    if (!has_elements && r->elements != 0) FAIL("type %d with %zu elements", r->type, r->elements);
    if (r->type != REDIS_REPLY_INTEGER && r->type != REDIS_REPLY_BOOL) CHECK_INT(r->integer, 0);
    if (r->type != REDIS_REPLY_DOUBLE && r->dval != 0) FAIL("type %d with a double", r->type);
    if (r->type != REDIS_REPLY_VERB && r->vtype[0] != '\0') FAIL("type %d with a vtype", r->type);

    switch (r->type) {
    case REDIS_REPLY_INTEGER: resp_integer(out, r->integer); break;
    case REDIS_REPLY_BOOL: resp_bool(out, (int)r->integer); break;
    case REDIS_REPLY_NIL: resp_nil(out, 0); break;
    case REDIS_REPLY_DOUBLE: resp_double(out, r->dval, r->str, r->len); break;
    case REDIS_REPLY_VERB:
        CHECK_INT(r->vtype[3], 0);
        text_printf(out, "=%zu ", r->len + 4);
        text_add(out, r->vtype, 3);
        text_add(out, ":", 1);
        text_add(out, r->str, r->len);
        break;
    default:
        if (has_str) {
            resp_string(out, r->type, r->str, r->len);
        } else if (has_elements) {
            resp_array(out, r->type, r->elements);
            for (size_t i = 0; i < r->elements; i++) resp_text(out, r->element[i]);
        } else {
            FAIL("a reply of type %d", r->type);
        }
    }
}

/* ---- Reading ------------------------------------------------------------------------- */

/* Stops reading: 0 is not complete, -1 an error. */
static int bad(struct resp *r, int err, const char *text) {
    r->err = err;
    snprintf(r->errstr, sizeof(r->errstr), "%s", text);
    return -1;
}

static int broken(struct resp *r, const char *text) {
    return bad(r, REDIS_ERR_PROTOCOL, text);
}

/* The length of the line at `at` without CR LF, -1 when it does not end. */
static long line_length(const struct resp *r) {
    for (const char *p = r->at; p + 1 < r->end; p++)
        if (p[0] == '\r' && p[1] == '\n') return (long)(p - r->at);
    return -1;
}

/* 0, or a minus perhaps, a digit that is not 0, and more digits. */
static int strict_integer(const char *p, long len, long long *value) {
    char buf[32];
    long i = 0;
    if (len < 1 || len > 20) return 0;
    if (p[0] == '-') i++;
    if (i == len || (p[i] == '0' && len > 1)) return 0;
    for (; i < len; i++)
        if (!isdigit((unsigned char)p[i])) return 0;
    memcpy(buf, p, (size_t)len);
    buf[len] = '\0';
    errno = 0;
    *value = strtoll(buf, NULL, 10);
    return errno == 0;
}

static int is_word(const char *p, long len, const char *word) {
    return len == (long)strlen(word) && strncasecmp(p, word, (size_t)len) == 0;
}

static int strict_double(const char *p, long len, double *value) {
    char buf[400];
    long i = 0, digits = 0;
    if (len > 0 && p[0] == '-') i++;
    if (is_word(p + i, len - i, "inf") || is_word(p + i, len - i, "nan")) {
        *value = p[i] == 'i' || p[i] == 'I' ? (i ? -INFINITY : INFINITY) : (double)NAN;
        return 1;
    }
    for (; i < len && isdigit((unsigned char)p[i]); i++) digits++;
    if (i < len && p[i] == '.') i++;
    for (; i < len && isdigit((unsigned char)p[i]); i++) digits++;
    if (digits == 0) return 0;
    if (i < len && (p[i] == 'e' || p[i] == 'E')) {
        i++;
        if (i < len && (p[i] == '+' || p[i] == '-')) i++;
        if (i == len) return 0;
        while (i < len && isdigit((unsigned char)p[i])) i++;
    }
    if (i < len) return 0;
    memcpy(buf, p, (size_t)len);
    buf[len] = '\0';
    *value = strtod(buf, NULL);
    return isfinite(*value);
}

static int type_byte_error(struct resp *r, unsigned char byte) {
    char name[8], text[80];
    switch (byte) {
    case '\\': case '"': snprintf(name, sizeof(name), "\\%c", byte); break;
    case '\n': strcpy(name, "\\n"); break;
    case '\r': strcpy(name, "\\r"); break;
    case '\t': strcpy(name, "\\t"); break;
    case '\a': strcpy(name, "\\a"); break;
    case '\b': strcpy(name, "\\b"); break;
    default: snprintf(name, sizeof(name), byte >= 0x20 && byte < 0x7f ? "%c" : "\\x%02x", byte);
    }
    snprintf(text, sizeof(text), "Protocol error, got \"%s\" as reply type byte", name);
    return broken(r, text);
}

static int item(struct resp *r, struct text *out, int depth, int *root_type);

static int bulk(struct resp *r, struct text *out, int type, const char *line, long len) {
    long long n;
    if (!strict_integer(line, len, &n)) return broken(r, "Bad bulk string length");
    if (n < -1) return broken(r, "Bulk string length out of range");
    if (n == -1) {
        resp_nil(out, r->tells_nils ? type : 0);
        return 1;
    }
    if (r->end - r->at < 2 || n > r->end - r->at - 2) return 0;
    if (memcmp(r->at + n, "\r\n", 2) != 0) return broken(r, "Bad bulk string terminator");
    if (type == REDIS_REPLY_VERB && (n < 4 || r->at[3] != ':'))
        return broken(r, "Verbatim string 4 bytes of content type are missing or incorrectly encoded.");
    resp_string(out, type, r->at, (size_t)n);
    r->at += n + 2;
    return 1;
}

static int aggregate(struct resp *r, struct text *out, int type, const char *line, long len, int depth) {
    long long n;
    if (!strict_integer(line, len, &n)) return broken(r, "Bad multi-bulk length");
    if (n < -1 || (r->maxelements > 0 && n > r->maxelements))
        return broken(r, "Multi-bulk length out of range");
    if (n == -1) {
        resp_nil(out, r->tells_nils ? type : 0);
        return 1;
    }
    if (type == REDIS_REPLY_MAP || type == REDIS_REPLY_ATTR) {
        if (n > LLONG_MAX / 2) return broken(r, "Multi-bulk length out of range");
        n *= 2;
    }
    if (n > (long long)UINT32_MAX) return bad(r, REDIS_ERR_OOM, "Out of memory");
    resp_array(out, type, (size_t)n);
    for (; n > 0; n--) {
        int got = item(r, out, depth + 1, NULL);
        if (got != 1) return got;
    }
    return 1;
}

/* 1 for an item, 0 when it is not complete, -1 for an error. */
static int item(struct resp *r, struct text *out, int depth, int *root_type) {
    static const char bytes[] = "$*:+-,#%~|>(=_";
    static const int types[] = {
        REDIS_REPLY_STRING, REDIS_REPLY_ARRAY, REDIS_REPLY_INTEGER, REDIS_REPLY_STATUS, REDIS_REPLY_ERROR,
        REDIS_REPLY_DOUBLE, REDIS_REPLY_BOOL,  REDIS_REPLY_MAP,     REDIS_REPLY_SET,    REDIS_REPLY_ATTR,
        REDIS_REPLY_PUSH,   REDIS_REPLY_BIGNUM, REDIS_REPLY_VERB,   REDIS_REPLY_NIL,
    };
    if (r->at == r->end) return 0;
    const char *found = *r->at != '\0' ? strchr(bytes, *r->at) : NULL;
    if (found == NULL) return type_byte_error(r, (unsigned char)*r->at);
    int type = types[found - bytes];
    int is_aggregate = strchr("*%~|>", *found) != NULL;
    if (is_aggregate && r->maxdepth > 0 && depth >= r->maxdepth)
        return broken(r, "Max nesting depth exceeded");
    r->at++;
    const char *line = r->at;
    long len = line_length(r);
    if (len < 0) return 0;
    r->at += len + 2;
    if (root_type != NULL) *root_type = type;

    if (type == REDIS_REPLY_ATTR && r->drops_attributes) {
        struct text dropped = {0};
        int got = aggregate(r, &dropped, type, line, len, depth);
        text_free(&dropped);
        return got == 1 ? item(r, out, depth, root_type) : got;
    }
    if (is_aggregate) {
        size_t before = out->len;
        int got = aggregate(r, out, type, line, len, depth);
        if (root_type != NULL && out->len > before && out->p[before] == '_') *root_type = REDIS_REPLY_NIL;
        return got;
    }

    long long n;
    double d;
    switch (type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_VERB:
        if (root_type != NULL && len == 2 && memcmp(line, "-1", 2) == 0) *root_type = REDIS_REPLY_NIL;
        return bulk(r, out, type, line, len);
    case REDIS_REPLY_INTEGER:
        if (!strict_integer(line, len, &n)) return broken(r, "Bad integer value");
        resp_integer(out, n);
        return 1;
    case REDIS_REPLY_DOUBLE:
        if (len > 325) return broken(r, "Double value is too large");
        if (!strict_double(line, len, &d)) return broken(r, "Bad double value");
        resp_double(out, d, line, (size_t)len);
        return 1;
    case REDIS_REPLY_NIL:
        if (len != 0) return broken(r, "Bad nil value");
        resp_nil(out, r->tells_nils ? type : 0);
        return 1;
    case REDIS_REPLY_BOOL:
        if (len != 1 || memchr("tTfF", line[0], 4) == NULL) return broken(r, "Bad bool value");
        resp_bool(out, line[0] == 't' || line[0] == 'T');
        return 1;
    case REDIS_REPLY_BIGNUM:
        for (long i = len > 0 && line[0] == '-'; i < len; i++)
            if (!isdigit((unsigned char)line[i])) return broken(r, "Bad bignum value");
        break;
    default:
        for (long i = 0; i < len; i++)
            if (line[i] == '\r' || line[i] == '\n') return broken(r, "Bad simple string value");
    }
    resp_string(out, type, line, (size_t)len);
    return 1;
}

int resp_reply(struct resp *r) {
    text_clear(&r->text);
    return item(r, &r->text, 0, &r->type) == 1;
}
