#include "memory.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

/* Before each block; keeps the alignment that malloc gives. */
struct head {
    size_t size;
    uint64_t mark;
};

#define LIVE 0x6c6976652d626c6bu
#define DEAD 0x646561642d626c6bu

static atomic_size_t blocks, bytes;

static void *begin(struct head *h, size_t size) {
    if (h == NULL) return NULL;
    h->size = size;
    h->mark = LIVE;
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes, size, memory_order_relaxed);
    return h + 1;
}

static struct head *end(void *p) {
    struct head *h = (struct head *)p - 1;
    if (h->mark != LIVE) {
        fprintf(stderr, "FAIL a block was given back that %s\n",
                h->mark == DEAD ? "had been given back before" : "is none");
        abort();
    }
    h->mark = DEAD;
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes, h->size, memory_order_relaxed);
    return h;
}

static void *counted_malloc(size_t size) {
    return size > SIZE_MAX / 2 ? NULL : begin(malloc(sizeof(struct head) + size), size);
}

static void *counted_calloc(size_t n, size_t size) {
    if (size != 0 && n > SIZE_MAX / 2 / size) return NULL;
    return begin(calloc(1, sizeof(struct head) + n * size), n * size);
}

static void *counted_realloc(void *p, size_t size) {
    if (p == NULL) return counted_malloc(size);
    if (size > SIZE_MAX / 2) return NULL;
    struct head *h = end(p);
    size_t before = h->size;
    struct head *moved = realloc(h, sizeof(struct head) + size);
    if (moved == NULL) begin(h, before);
    return begin(moved, size);
}

static char *counted_strdup(const char *s) {
    size_t size = strlen(s) + 1;
    char *p = counted_malloc(size);
    if (p != NULL) memcpy(p, s, size);
    return p;
}

static void counted_free(void *p) {
    if (p != NULL) free(end(p));
}

void memory_install(void) {
    hiredisAllocFuncs counted = {counted_malloc, counted_calloc, counted_realloc, counted_strdup,
                                 counted_free};
    hiredisSetAllocators(&counted);
}

size_t memory_blocks(void) { return atomic_load(&blocks); }
size_t memory_bytes(void) { return atomic_load(&bytes); }

int open_descriptors(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL) return -1;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') n++;
    closedir(d);
    return n - 1; /* the directory's own */
}

size_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL) return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1) pages = 0;
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
