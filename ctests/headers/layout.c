/* The public structs are where programs compiled long ago expect them. */
#include <stddef.h>

#include <hiredis/async.h>

#include "fields.h"

/* Nested structs are initialised field by field, see fields.h. */
#pragma GCC diagnostic ignored "-Wmissing-braces"

#define PLACE(T, field, offset, size) \
    _Static_assert(offsetof(T, field) == offset, #T "." #field " has moved"); \
    _Static_assert(sizeof(((T *)0)->field) == size, #T "." #field " has another size");
#define FIELD(T, field, offset, size, init) PLACE(T, field, offset, size)
#define STRUCT(T, size, align) \
    _Static_assert(sizeof(T) == size, #T " has another size"); \
    _Static_assert(_Alignof(T) == align, #T " has another alignment"); \
    T##_FIELDS(FIELD, PLACE, T) \
    extern const T every_field_of_##T; \
    const T every_field_of_##T = {T##_FIELDS(INITIALISER, NOTHING, T)};

STRUCTS(STRUCT)

/* The headers of dynamic strings: packed, the flags byte always last, then the text. */
#define SDS_HEADER(bits, size) \
    _Static_assert(sizeof(struct sdshdr##bits) == size, "sdshdr" #bits " has another size"); \
    _Static_assert(_Alignof(struct sdshdr##bits) == 1, "sdshdr" #bits " is not packed"); \
    _Static_assert(offsetof(struct sdshdr##bits, flags) == size - 1, "sdshdr" #bits ".flags has moved"); \
    _Static_assert(offsetof(struct sdshdr##bits, buf) == size, "sdshdr" #bits ".buf has moved"); \
    _Static_assert(sizeof(((struct sdshdr##bits *)0)->flags) == 1, "sdshdr" #bits ".flags has another size");
#define SDS_COUNTERS(bits) \
    _Static_assert(offsetof(struct sdshdr##bits, len) == 0, "sdshdr" #bits ".len has moved"); \
    _Static_assert(offsetof(struct sdshdr##bits, alloc) == bits / 8, "sdshdr" #bits ".alloc has moved"); \
    _Static_assert(sizeof(((struct sdshdr##bits *)0)->len) == bits / 8, "size of sdshdr" #bits ".len"); \
    _Static_assert(sizeof(((struct sdshdr##bits *)0)->alloc) == bits / 8, "size of sdshdr" #bits ".alloc");

SDS_HEADER(5, 1)
SDS_HEADER(8, 3)
SDS_HEADER(16, 5)
SDS_HEADER(32, 9)
SDS_HEADER(64, 17)
SDS_COUNTERS(8)
SDS_COUNTERS(16)
SDS_COUNTERS(32)
SDS_COUNTERS(64)
