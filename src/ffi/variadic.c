/* The functions with a variable argument list.
 *
 * Rust can neither define `...` nor take a va_list, so these bodies take hold of
 * the arguments and hand them to Rust, which reads the format and asks for one
 * argument after the other. Nothing here is exported: a linker that makes the
 * shared library out of Rust hides what C defines, so variadic.rs exports each
 * public name as a jump to the body here, `hirs_` and the name.
 *
 * __typeof__ gives each body the type that its public header declares: a body
 * that differs does not compile. */

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

/* The arguments, for Rust an opaque type. Only sds functions walk them more than once,
 * and have `first`. */
struct hirs_args {
    va_list next;
    va_list first;
};

/* One accessor per type that a format can name; see src/args.rs. */
void hirs_args_rewind(struct hirs_args *args);
int hirs_arg_int(struct hirs_args *args);
long hirs_arg_long(struct hirs_args *args);
long long hirs_arg_long_long(struct hirs_args *args);
double hirs_arg_double(struct hirs_args *args);
size_t hirs_arg_size(struct hirs_args *args);
const char *hirs_arg_pointer(struct hirs_args *args);
int hirs_args_print(struct hirs_args *args, char *out, size_t room, const char *fmt);

void hirs_args_rewind(struct hirs_args *args) {
    va_end(args->next);
    va_copy(args->next, args->first);
}

int hirs_arg_int(struct hirs_args *args) {
    return va_arg(args->next, int);
}

long hirs_arg_long(struct hirs_args *args) {
    return va_arg(args->next, long);
}

long long hirs_arg_long_long(struct hirs_args *args) {
    return va_arg(args->next, long long);
}

double hirs_arg_double(struct hirs_args *args) {
    return va_arg(args->next, double);
}

size_t hirs_arg_size(struct hirs_args *args) {
    return va_arg(args->next, size_t);
}

const char *hirs_arg_pointer(struct hirs_args *args) {
    return va_arg(args->next, const char *);
}

/* vsnprintf with all the arguments, from the first; takes none of them. */
int hirs_args_print(struct hirs_args *args, char *out, size_t room, const char *fmt) {
    va_list ap;
    int len;

    va_copy(ap, args->first);
    len = vsnprintf(out, room, fmt, ap);
    va_end(ap);
    return len;
}

static void take(struct hirs_args *args, va_list ap) {
    va_copy(args->first, ap);
    va_copy(args->next, ap);
}

static void release(struct hirs_args *args) {
    va_end(args->next);
    va_end(args->first);
}

/* sds.h */

__typeof__(sdscatfmt) hirs_sdscatfmt;
__typeof__(sdscatprintf) hirs_sdscatprintf;
__typeof__(sdscatvprintf) hirs_sdscatvprintf;

/* In variadic.rs. */
sds hirs_sdscatfmt_args(sds s, const char *fmt, struct hirs_args *args);
sds hirs_sdscatprintf_args(sds s, const char *fmt, struct hirs_args *args);

sds hirs_sdscatvprintf(sds s, const char *fmt, va_list ap) {
    struct hirs_args args;

    take(&args, ap);
    s = hirs_sdscatprintf_args(s, fmt, &args);
    release(&args);
    return s;
}

sds hirs_sdscatprintf(sds s, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    s = hirs_sdscatvprintf(s, fmt, ap);
    va_end(ap);
    return s;
}

sds hirs_sdscatfmt(sds s, const char *fmt, ...) {
    struct hirs_args args;
    va_list ap;

    va_start(ap, fmt);
    take(&args, ap);
    va_end(ap);
    s = hirs_sdscatfmt_args(s, fmt, &args);
    release(&args);
    return s;
}

/* hiredis.h */

__typeof__(redisvFormatCommand) hirs_redisvFormatCommand;
__typeof__(redisFormatCommand) hirs_redisFormatCommand;
__typeof__(redisvAppendCommand) hirs_redisvAppendCommand;
__typeof__(redisAppendCommand) hirs_redisAppendCommand;
__typeof__(redisvCommand) hirs_redisvCommand;
__typeof__(redisCommand) hirs_redisCommand;

/* In variadic.rs. */
int hirs_format_args(char **target, const char *format, struct hirs_args *args);
int hirs_append_args(redisContext *c, const char *format, struct hirs_args *args);
void *hirs_command_args(redisContext *c, const char *format, struct hirs_args *args);

int hirs_redisvFormatCommand(char **target, const char *format, va_list ap) {
    struct hirs_args args;
    int len;

    va_copy(args.next, ap);
    len = hirs_format_args(target, format, &args);
    va_end(args.next);
    return len;
}

int hirs_redisFormatCommand(char **target, const char *format, ...) {
    struct hirs_args args;
    int len;

    va_start(args.next, format);
    len = hirs_format_args(target, format, &args);
    va_end(args.next);
    /* Here every failure is -1. */
    return len < 0 ? -1 : len;
}

int hirs_redisvAppendCommand(redisContext *c, const char *format, va_list ap) {
    struct hirs_args args;
    int status;

    va_copy(args.next, ap);
    status = hirs_append_args(c, format, &args);
    va_end(args.next);
    return status;
}

int hirs_redisAppendCommand(redisContext *c, const char *format, ...) {
    struct hirs_args args;
    int status;

    va_start(args.next, format);
    status = hirs_append_args(c, format, &args);
    va_end(args.next);
    return status;
}

void *hirs_redisvCommand(redisContext *c, const char *format, va_list ap) {
    struct hirs_args args;
    void *reply;

    va_copy(args.next, ap);
    reply = hirs_command_args(c, format, &args);
    va_end(args.next);
    return reply;
}

void *hirs_redisCommand(redisContext *c, const char *format, ...) {
    struct hirs_args args;
    void *reply;

    va_start(args.next, format);
    reply = hirs_command_args(c, format, &args);
    va_end(args.next);
    return reply;
}

/* async.h */

__typeof__(redisvAsyncCommand) hirs_redisvAsyncCommand;
__typeof__(redisAsyncCommand) hirs_redisAsyncCommand;

/* In variadic.rs. */
int hirs_async_command_args(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format,
                            struct hirs_args *args);

int hirs_redisvAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format,
                            va_list ap) {
    struct hirs_args args;
    int status;

    va_copy(args.next, ap);
    status = hirs_async_command_args(ac, fn, privdata, format, &args);
    va_end(args.next);
    return status;
}

int hirs_redisAsyncCommand(redisAsyncContext *ac, redisCallbackFn *fn, void *privdata, const char *format,
                           ...) {
    struct hirs_args args;
    int status;

    va_start(args.next, format);
    status = hirs_async_command_args(ac, fn, privdata, format, &args);
    va_end(args.next);
    return status;
}
