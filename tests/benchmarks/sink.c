/* A filler that does nothing but acknowledge: MLLP in, ACK with the message's MSH-10 out. One process, epoll.
 *
 * usage: sink            prints the port it listens on, serves until killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 20, EVENTS_MAX = 256 };

struct line {
    int fd;
    size_t used;
    char data[ROOM];
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/* MSH-10 begins after the ninth separator: MSH-1 is the separator itself. */
static size_t find_control_id(const char *message, size_t size, const char **found) {
    if (size < 8 || memcmp(message, "MSH", 3) != 0) return 0;
    const char separator = message[3], *end = message + size, *at = message + 3;
    for (int field = 1; field < 10; field++) {
        at = memchr(at, separator, (size_t)(end - at));
        if (at == NULL) return 0;
        at++;
    }
    const char *stop = at;
    while (stop < end && *stop != separator && *stop != '\r') stop++;
    *found = at;
    return (size_t)(stop - at);
}

static void acknowledge(int fd, const char *message, size_t size) {
    const char *id = "";
    size_t id_size = find_control_id(message, size, &id);
    char reply[512];
    int length = snprintf(reply, sizeof reply,
        "\x0bMSH|^~\\&|RIS|RAD|EHR|HOSP|20260105101500||ACK|A%.*s|P|2.5.1\rMSA|AA|%.*s\r\x1c\r",
        (int)id_size, id, (int)id_size, id);
    send_all(fd, reply, (size_t)length);
}

/* Answers every whole frame; keeps the rest. Returns 0 when the peer is gone. */
static int serve(struct line *line) {
    ssize_t got = recv(line->fd, line->data + line->used, ROOM - line->used, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return 0;
    size_t searched = line->used > 0 ? line->used - 1 : 0, start = 0;
    line->used += (size_t)got;
    for (;;) {
        char *end = memchr(line->data + searched, 0x1c, line->used - searched);
        if (end == NULL || end + 1 >= line->data + line->used) break;
        searched = (size_t)(end - line->data) + 1;
        if (end[1] != '\r') continue;
        if (line->data[start] == 0x0b)
            acknowledge(line->fd, line->data + start + 1, (size_t)(end - line->data) - start - 1);
        start = searched = (size_t)(end - line->data) + 2;
    }
    memmove(line->data, line->data + start, line->used - start);
    line->used -= start;
    return line->used < ROOM;
}

int main(void) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1024) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS_MAX];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int index = 0; index < count; index++) {
            struct line *line = events[index].data.ptr;
            if (line != NULL) {
                if (!serve(line)) {
                    close(line->fd);
                    free(line);
                }
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            line = malloc(sizeof *line);
            if (line == NULL) die("malloc");
            line->fd = fd;
            line->used = 0;
            event.events = EPOLLIN;
            event.data.ptr = line;
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
