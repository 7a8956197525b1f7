/* The allocator that counts and, when told to, fails: see test.h.
 *
 * Live blocks stand in a hash table by address, so that a free of anything else
 * is noticed without touching it. */
#include "test.h"

#if HIREDIS_MAJOR >= 1

#include <stdlib.h>

struct block {
    void *start;
    size_t size;
};

static struct block *table; /* linear probing; start NULL marks a free slot */
static size_t slots, used;
static size_t live_bytes, peak_bytes, total, total_bytes, largest, failures;
static size_t fail_in; /* the how-manieth request from now fails; 0: none does */
static int fail_on;    /* and all after it */
static int fill;

/* Beyond this the filling would commit memory that a test wants to stay untouched. */
#define FILL_MOST (64u << 20)

static size_t slot_of(const void *p) {
    uint64_t h = (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 20) & (slots - 1);
    while (table[i].start != NULL && table[i].start != p) i = (i + 1) & (slots - 1);
    return i;
}

static void table_add(void *p, size_t size) {
    if (2 * (used + 1) > slots) {
        struct block *old = table;
        size_t n = slots;
        slots = n == 0 ? 1024 : 2 * n;
        table = calloc(slots, sizeof(*table));
        if (table == NULL) FAIL("the test itself is out of memory");
        for (size_t i = 0; i < n; i++) {
            if (old[i].start != NULL) table[slot_of(old[i].start)] = old[i];
        }
        free(old);
    }
    size_t i = slot_of(p);
    table[i].start = p;
    table[i].size = size;
    used++;
    live_bytes += size;
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
}

/* Takes the block out and returns its size. */
static size_t table_remove(void *p, const char *what) {
    size_t i = slots > 0 ? slot_of(p) : 0;
    if (slots == 0 || table[i].start == NULL)
        FAIL("%s of %p, which is not a live block of the counting allocator", what, p);
    size_t size = table[i].size;
    table[i].start = NULL;
    used--;
    live_bytes -= size;
    /* Close the gap: whoever probed past this slot must still be found. */
    for (size_t k = (i + 1) & (slots - 1); table[k].start != NULL; k = (k + 1) & (slots - 1)) {
        struct block b = table[k];
        table[k].start = NULL;
        table[slot_of(b.start)] = b;
    }
    return size;
}

static int granted(size_t size) {
    /* What comes back for it differs between allocators, so the library must not ask. */
    if (size == 0) FAIL("zero bytes were requested");
    total++;
    total_bytes += size;
    if (size > largest) largest = size;
    if (fail_in > 0 && --fail_in == 0) {
        failures++;
        if (fail_on) fail_in = 1;
        return 0;
    }
    return 1;
}

static void paint(void *p, int byte, size_t from, size_t to) {
    if (fill && to <= FILL_MOST && from < to) memset((char *)p + from, byte, to - from);
}

static void *count_malloc(size_t size) {
    /* No allocator has more than this, and memory checkers complain about the attempt. */
    void *p = granted(size) && size <= PTRDIFF_MAX ? malloc(size) : NULL;
    if (p != NULL) {
        paint(p, 0xa5, 0, size);
        table_add(p, size);
    }
    return p;
}

static void *count_calloc(size_t n, size_t size) {
    void *p = granted(n * size) ? calloc(n, size) : NULL;
    if (p != NULL) table_add(p, n * size);
    return p;
}

static void *count_realloc(void *p, size_t size) {
    if (p == NULL) return count_malloc(size);
    if (!granted(size)) return NULL;
    /* Always moves, so that a stale pointer is noticed. */
    void *moved = malloc(size);
    if (moved == NULL) return NULL;
    size_t old = table_remove(p, "realloc");
    memcpy(moved, p, old < size ? old : size);
    paint(moved, 0xa5, old, size);
    paint(p, 0x5a, 0, old);
    free(p);
    table_add(moved, size);
    return moved;
}

static char *count_strdup(const char *s) {
    size_t size = strlen(s) + 1;
    char *p = granted(size) ? malloc(size) : NULL;
    if (p != NULL) {
        memcpy(p, s, size);
        table_add(p, size);
    }
    return p;
}

static void count_free(void *p) {
    if (p == NULL) return;
    size_t size = table_remove(p, "free");
    paint(p, 0x5a, 0, size);
    free(p);
}

void alloc_count_begin(void) {
    hiredisAllocFuncs counting = {count_malloc, count_calloc, count_realloc, count_strdup, count_free};
    free(table);
    table = NULL;
    slots = used = 0;
    live_bytes = peak_bytes = total = total_bytes = largest = failures = 0;
    alloc_fail_never();
    /* A memory checker sees uninitialised bytes better when they stay uninitialised. */
    fill = getenv("TEST_WRAPPER") == NULL;
    hiredisSetAllocators(&counting);
}

void alloc_count_end(void) {
    if (used != 0) FAIL("%zu blocks with %zu bytes were not freed", used, live_bytes);
    hiredisResetAllocators();
    free(table);
    table = NULL;
    slots = 0;
}

size_t alloc_live(void) { return used; }
size_t alloc_live_bytes(void) { return live_bytes; }
size_t alloc_peak_bytes(void) { return peak_bytes; }
size_t alloc_total(void) { return total; }
size_t alloc_total_bytes(void) { return total_bytes; }
size_t alloc_largest(void) { return largest; }
size_t alloc_failures(void) { return failures; }
int alloc_owns(const void *p) { return slots > 0 && p != NULL && table[slot_of(p)].start == p; }

void alloc_fail_at(size_t k) {
    fail_in = k;
    fail_on = 0;
}

void alloc_fail_from(size_t k) {
    fail_in = k;
    fail_on = 1;
}

void alloc_fail_never(void) {
    fail_in = 0;
    fail_on = 0;
}

#else

void alloc_count_begin(void) {}
void alloc_count_end(void) {}
size_t alloc_live(void) { return 0; }

#endif
