/* The least that redisFormatCommand can do for the format of format-printf while it still reads it: not one
 * look whether there is room, no growth, no other conversions, no number below zero, nothing as long as a
 * hundred bytes, nobody's argument list but its own, and no error but that of malloc. */
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <hiredis/alloc.h>
#include <hiredis/hiredis.h>

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* Eight to sixteen bytes. */
static void copy(char *to, const char *from, size_t n) {
    uint64_t head, tail;
    memcpy(&head, from, 8);
    memcpy(&tail, from + n - 8, 8);
    memcpy(to, &head, 8);
    memcpy(to + n - 8, &tail, 8);
}

static char *put_number(char *at, unsigned value) {
    char text[32], *first = text + 16;
    for (; value >= 100; value /= 100) memcpy(first -= 2, pairs + 2 * (value % 100), 2);
    if (value >= 10) memcpy(first -= 2, pairs + 2 * value, 2);
    else *--first = (char)('0' + value);
    memcpy(at, first, 16);
    return at + (text + 16 - first);
}

static void put_header(char *at, char mark, size_t n) {
    uint32_t line = (uint32_t)mark | (uint32_t)('0' + n) << 8 | '\r' << 16 | '\n' << 24;
    if (n >= 10) {
        uint16_t digits;
        memcpy(&digits, pairs + 2 * n, 2);
        line = (uint32_t)mark | (uint32_t)digits << 8 | '\r' << 24;
        at[4] = '\n';
    }
    memcpy(at, &line, 4);
}

int redisFormatCommand(char **target, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    char *command = hiredisAllocFns.mallocFn(161), *at = command + 4;
    if (command == NULL) return -1;
    size_t argc = 0;
    unsigned char c = (unsigned char)*format;
    while (c != 0) {
        char *header = at, *begin = at += 4;
        argc++;
        for (;;) {
            for (; c > '%'; c = (unsigned char)*++format) *at++ = (char)c;
            if (c != '%') break;
            if (format[1] == 'b') {
                const char *text = va_arg(ap, const char *);
                size_t len = va_arg(ap, size_t);
                at = begin += len >= 10;
                copy(at, text, len);
                at += len;
            } else {
                at = put_number(at, va_arg(ap, unsigned));
            }
            c = (unsigned char)*(format += 2);
        }
        put_header(header, '$', (size_t)(at - begin));
        memcpy(at, "\r\n", 2);
        at += 2;
        while (c == ' ') c = (unsigned char)*++format;
    }
    put_header(command, '*', argc);
    *at = 0;
    *target = command;
    va_end(ap);
    return (int)(at - command);
}
