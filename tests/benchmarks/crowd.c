/* Peers that mean no good, or too much of it.
 *
 * usage: crowd idle  PORT COUNT PER_SECOND SECONDS
 *        crowd slow  PORT COUNT PER_SECOND SECONDS
 *        crowd burst PORT FILE  PER_SECOND SECONDS
 *
 * idle opens COUNT connections, each from an address of its own, so many a second (0: as fast as it goes), says nothing and
 * keeps those that are not closed. slow opens COUNT from one address and sends a byte on each five times a second; one
 * that is closed is opened again. burst opens one connection and writes the frames of FILE (size as u32, then the bytes) so
 * many a second without waiting for answers, which it counts. Each ends after SECONDS and prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 12000, ADDRESSES = 200, STEP_MS = 10, BYTE_MS = 200, ROOM = 65536 };

static struct pollfd lines[COUNT_MAX];
static int64_t byte_due[COUNT_MAX], until;
static uint64_t attempted, closed, sent, answered;
static int line_count;
static char room[ROOM];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A connection under way; -1 when there is no descriptor or address for it. *number* 0 and more: from an address of its own. */
static int dial(int port, int number) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (number >= 0) {
        uint32_t host = 0x7f000000u | (uint32_t)(1 + number / ADDRESSES) << 8 | (uint32_t)(1 + number % ADDRESSES);
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
        if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    }
    attempted++;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        close(fd);
        closed++;
        return -1;
    }
    return fd;
}

static void hang_up(int index) {
    close(lines[index].fd);
    lines[index].fd = -1;
    closed++;
}

/* Read what there is; 0 when the other side has closed. */
static int drain(int fd) {
    for (;;) {
        ssize_t got = recv(fd, room, sizeof room, 0);
        if (got < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
        if (got == 0) return 0;
        for (ssize_t index = 0; index < got; index++) answered += room[index] == 0x1c;
    }
}

static void look(int wait_ms) {
    if (poll(lines, (nfds_t)line_count, wait_ms) <= 0) return;
    for (int index = 0; index < line_count; index++)
        if (lines[index].fd >= 0 && lines[index].revents && !drain(lines[index].fd)) hang_up(index);
}

static void open_more(int port, int wanted, int64_t allowed, int is_spread) {
    while (line_count < wanted && line_count < allowed) {
        lines[line_count].fd = dial(port, is_spread ? line_count : -1);
        lines[line_count++].events = POLLIN;
        if (line_count % 100 == 0) look(0);
    }
}

/* One byte on each line whose turn it is, and a new connection for each that was closed. */
static void drip(int port) {
    int64_t at = now_ms();
    for (int index = 0; index < line_count; index++) {
        if (byte_due[index] > at) continue;
        if (lines[index].fd < 0) {
            lines[index].fd = dial(port, -1);
            lines[index].revents = 0;
            sent += lines[index].fd >= 0 && send(lines[index].fd, "\x0b", 1, MSG_NOSIGNAL) == 1;
        } else {
            sent += send(lines[index].fd, byte_due[index] ? "M" : "\x0b", 1, MSG_NOSIGNAL) == 1;
        }
        byte_due[index] = at + BYTE_MS;
    }
}

static void crowd(int port, int wanted, int64_t per_second, int is_slow) {
    int64_t began = now_ms();
    while (now_ms() < until) {
        int64_t allowed = per_second ? (now_ms() - began) * per_second / 1000 + 1 : wanted;
        open_more(port, wanted, allowed, !is_slow);
        if (is_slow) drip(port);
        look(STEP_MS);
    }
}

static void burst(int port, const char *path, int64_t per_second) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    int fd = dial(port, -1), one = 1;
    struct pollfd line = {.fd = fd, .events = POLLOUT};
    if (fd < 0 || poll(&line, 1, 5000) != 1) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    static char frame[1 << 20];
    uint32_t size = 0, at = 0;
    int64_t began = now_ms();
    while (now_ms() < until) {
        if (!drain(fd)) {
            closed++;
            break;
        }
        if (at == size) {
            if (per_second && (int64_t)sent > (now_ms() - began) * per_second / 1000) {
                usleep(500);
                continue;
            }
            at = 0;
            if (fread(&size, 4, 1, file) != 1 || size > sizeof frame || fread(frame, size, 1, file) != 1) break;
        }
        ssize_t done = send(fd, frame + at, size - at, MSG_NOSIGNAL);
        if (done > 0) at += (uint32_t)done;
        else if (errno == EAGAIN) usleep(500);
        else break;
        sent += at == size;
    }
    /* What was sent is answered, however late: nothing of a burst is lost. */
    for (int64_t end = now_ms() + 20000; answered < sent && now_ms() < end && drain(fd);) usleep(1000);
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: crowd idle|slow|burst PORT COUNT|FILE PER_SECOND SECONDS\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int port = atoi(argv[2]);
    until = now_ms() + (int64_t)(atof(argv[5]) * 1000);
    if (strcmp(argv[1], "burst") == 0) burst(port, argv[3], atoll(argv[4]));
    else crowd(port, atoi(argv[3]) < COUNT_MAX ? atoi(argv[3]) : COUNT_MAX, atoll(argv[4]), argv[1][0] == 's');
    int standing = 0;
    for (int index = 0; index < line_count; index++) standing += lines[index].fd >= 0;
    printf("{\"attempted\": %llu, \"standing\": %d, \"closed\": %llu, \"sent\": %llu, \"answered\": %llu}\n",
        (unsigned long long)attempted, standing, (unsigned long long)closed, (unsigned long long)sent,
        (unsigned long long)answered);
    return 0;
}
