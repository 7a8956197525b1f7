/* The library's memory, counted: what is live at any moment. For threads, too. */
#ifndef CHAOS_MEMORY_H
#define CHAOS_MEMORY_H

#include <stddef.h>

/* From now on the library gets its memory here. Before its first use. */
void memory_install(void);

size_t memory_blocks(void);
size_t memory_bytes(void);

/* Descriptors that this process has open. */
int open_descriptors(void);

/* Bytes of this process that are in memory. */
size_t resident_bytes(void);

#endif
