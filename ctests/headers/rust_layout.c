/* The structs of src/abi.rs, as cbindgen writes them, against the public ones:
 * the same fields at the same offsets with the same types. */
#include <stddef.h>

#include <hiredis/async.h>

#include "prototypes.h"
#include "structs.h"

#include "fields.h"

/* Nested structs are initialised field by field, see fields.h. */
#pragma GCC diagnostic ignored "-Wmissing-braces"

#define IS(a, b) __builtin_types_compatible_p(a, b)
/* Rust has an int where C has an enum, and no other name for the embedded context. */
#define SAME_TYPE(a, b) \
    (IS(a, b) || (IS(a, enum redisConnectionType) && IS(b, int)) || \
     (IS(a, redisContext) && IS(b, hirs_abi_redisContext)))

#define SAME(T, field, offset, size) \
    _Static_assert(offsetof(T, field) == offsetof(hirs_abi_##T, field), #T "." #field " elsewhere in Rust"); \
    _Static_assert(sizeof(((T *)0)->field) == sizeof(((hirs_abi_##T *)0)->field), \
                   #T "." #field " has another size in Rust"); \
    _Static_assert(SAME_TYPE(__typeof__(((T *)0)->field), __typeof__(((hirs_abi_##T *)0)->field)), \
                   #T "." #field " has another type in Rust");
#define FIELD(T, field, offset, size, init) SAME(T, field, offset, size)
#define STRUCT(T, size, align) \
    _Static_assert(sizeof(T) == sizeof(hirs_abi_##T), #T " has another size in Rust"); \
    _Static_assert(_Alignof(T) == _Alignof(hirs_abi_##T), #T " has another alignment in Rust"); \
    T##_FIELDS(FIELD, SAME, T) \
    extern const hirs_abi_##T every_field_of_##T; \
    const hirs_abi_##T every_field_of_##T = {T##_FIELDS(INITIALISER, NOTHING, T)};

STRUCTS(STRUCT)
