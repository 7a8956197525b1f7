/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef __SOCKCOMPAT_H
#define __SOCKCOMPAT_H

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#endif
