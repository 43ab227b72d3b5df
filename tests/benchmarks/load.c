/* Placers that send one message at a time on each connection and wait for its acknowledgment.
 *
 * usage: load PORT MESSAGES CONNECTIONS PROCESSES WARM_SECONDS SECONDS [RATE]
 *
 * With RATE so many messages a second are begun, all connections together, evenly spread over them and over time. A
 * connection whose answer is late begins the next at once until it has caught up, for at most a second's worth.
 *
 * MESSAGES is a file of records: size, patch count, patch offsets (all u32, the machine's byte order), then the
 * framed message. At each patch offset twelve digits are replaced by a number used once, so that no two messages
 * have the same control id or order number. Prints one JSON object. Latency is from before the first byte is
 * sent to after the acknowledgment was read and its MSA-2 compared; only messages that both began and ended in
 * the measured time count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES_MAX = 1024, DIGITS = 12, SAMPLES_MAX = 1 << 22, REPLY_ROOM = 8192, EVENTS_MAX = 256 };

struct message {
    uint32_t size, patch_count;
    const uint32_t *patches;
    const char *bytes;
};

struct shared {
    uint64_t count, sent_size, refused, mismatched, lost;
    uint32_t samples[SAMPLES_MAX]; /* tenths of a microsecond */
};

struct line {
    int fd;
    uint32_t turn, size, sent, got;
    int64_t began, due; /* due: with a rate, when the next message is to begin */
    int is_idle;
    char digits[DIGITS + 1];
    char *out;
    char in[REPLY_ROOM];
};

static struct message messages[MESSAGES_MAX];
static uint32_t message_count, size_max;
static int all_connections;
static int64_t warm_until, measure_until, interval;
static uint64_t next_number;
static int poller;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void load_messages(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0) die(path);
    const char *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0), *end = at + info.st_size;
    while (at < end && message_count < MESSAGES_MAX) {
        struct message *message = &messages[message_count++];
        memcpy(&message->size, at, 4);
        memcpy(&message->patch_count, at + 4, 4);
        message->patches = (const uint32_t *)(at + 8);
        message->bytes = at + 8 + 4 * message->patch_count;
        if (message->size > size_max) size_max = message->size;
        at = message->bytes + (message->size + 3) / 4 * 4;
    }
}

static void watch(struct line *line, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = line};
    epoll_ctl(poller, operation, line->fd, &event);
}

/* Returns 0 when the connection is gone. */
static int push(struct line *line, int was_blocked) {
    while (line->sent < line->size) {
        ssize_t done = send(line->fd, line->out + line->sent, line->size - line->sent, MSG_NOSIGNAL);
        if (done > 0) {
            line->sent += (uint32_t)done;
        } else if (errno == EAGAIN) {
            if (!was_blocked) watch(line, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return 1;
        } else if (errno != EINTR) {
            return 0;
        }
    }
    if (was_blocked) watch(line, EPOLLIN, EPOLL_CTL_MOD);
    return 1;
}

static int begin(struct line *line) {
    const struct message *message = &messages[line->turn++ % message_count];
    memcpy(line->out, message->bytes, message->size);
    snprintf(line->digits, sizeof line->digits, "%012llu", (unsigned long long)next_number++);
    for (uint32_t index = 0; index < message->patch_count; index++)
        memcpy(line->out + message->patches[index], line->digits, DIGITS);
    line->size = message->size;
    line->sent = line->got = 0;
    line->began = now();
    return push(line, 0);
}

/* Whether the reply accepts, and accepts our message: "<CR>MSA|AA|B" and the digits. */
static void judge(const struct line *line, struct shared *shared) {
    const char *msa = memmem(line->in, line->got, "\rMSA", 4);
    size_t left = msa == NULL ? 0 : line->got - (size_t)(msa - line->in);
    if (left < 9 + DIGITS || memcmp(msa + 9, line->digits, DIGITS) != 0) shared->mismatched++;
    else if (msa[6] != 'A') shared->refused++;
}

/* Returns 0 when the connection is gone, 1 to go on, 2 when the reply is whole. */
static int pull(struct line *line, struct shared *shared) {
    ssize_t got = recv(line->fd, line->in + line->got, REPLY_ROOM - line->got, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return 0;
    line->got += (uint32_t)got;
    if (line->got < 2 || line->in[line->got - 2] != 0x1c || line->in[line->got - 1] != '\r')
        return line->got < REPLY_ROOM;
    int64_t ended = now();
    judge(line, shared);
    if (line->began >= warm_until && ended < measure_until && shared->count < SAMPLES_MAX) {
        shared->samples[shared->count++] = (uint32_t)((ended - line->began) / 100);
        shared->sent_size += line->size;
    }
    return 2;
}

static int run(int port, int connections, int first, struct shared *shared) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, open_count = 0;
    struct line **lines = calloc((size_t)connections, sizeof *lines);
    poller = epoll_create1(0);
    for (int index = 0; index < connections; index++) {
        struct line *line = calloc(1, sizeof *line);
        line->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(line->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
        setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(line->fd, F_SETFL, O_NONBLOCK);
        line->out = malloc(size_max);
        /* Connections stand at different places of the mix. */
        line->turn = (uint32_t)(first + index) * 37;
        watch(line, EPOLLIN, EPOLL_CTL_ADD);
        lines[index] = line;
        line->due = now() + interval * (first + index) / all_connections;
        line->is_idle = interval > 0;
        if (interval || begin(line)) open_count++;
    }
    struct epoll_event events[EVENTS_MAX];
    /* Two seconds more for the answers under way at the end. */
    while (open_count > 0 && now() < measure_until + 2000000000LL) {
        int64_t pause = 100000000;
        for (int index = 0; interval && index < connections; index++) {
            int64_t left = lines[index]->due - now();
            if (lines[index]->is_idle && left < pause) pause = left > 0 ? left : 0;
        }
        struct timespec wait = {.tv_nsec = pause};
        int count = epoll_pwait2(poller, events, EVENTS_MAX, &wait, NULL);
        for (int index = 0; interval && index < connections; index++) {
            struct line *line = lines[index];
            if (!line->is_idle || now() < line->due) continue;
            line->is_idle = 0;
            line->due += interval;
            if (line->due < now() - 1000000000) line->due = now();
            if (now() < measure_until && begin(line)) continue;
            close(line->fd);
            open_count--;
        }
        for (int index = 0; index < count; index++) {
            struct line *line = events[index].data.ptr;
            int state = 1;
            if (events[index].events & EPOLLOUT) state = push(line, 1);
            if (state && events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) state = pull(line, shared);
            int is_over = now() >= measure_until;
            if (state == 2 && !is_over && interval) line->is_idle = 1;
            else if (state == 2 && !is_over) state = begin(line);
            if (state == 0) shared->lost++;
            if (state == 0 || (state == 2 && is_over)) {
                line->is_idle = 0;
                close(line->fd);
                open_count--;
            }
        }
    }
    shared->lost += (uint64_t)open_count;
    return 0;
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "usage: load PORT MESSAGES CONNECTIONS PROCESSES WARM_SECONDS SECONDS [RATE]\n");
        return 2;
    }
    int port = atoi(argv[1]), connections = atoi(argv[3]), processes = atoi(argv[4]);
    all_connections = connections;
    if (argc == 8) interval = (int64_t)(1e9 * connections / atof(argv[7]));
    load_messages(argv[2]);
    warm_until = now() + (int64_t)(atof(argv[5]) * 1e9);
    measure_until = warm_until + (int64_t)(atof(argv[6]) * 1e9);
    struct shared **shared = calloc((size_t)processes, sizeof *shared);
    uint64_t started = (uint64_t)time(NULL) % 10000;
    for (int index = 0; index < processes; index++) {
        shared[index] = mmap(NULL, sizeof **shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        int first = connections * index / processes, last = connections * (index + 1) / processes;
        /* Twelve digits: second of the start, process, running number. */
        next_number = started * 100000000 + (uint64_t)index * 50000000;
        if (fork() == 0) _exit(run(port, last - first, first, shared[index]));
    }
    int failed = 0, status;
    while (wait(&status) > 0) failed |= status;
    uint64_t count = 0, sent_size = 0, refused = 0, mismatched = 0, lost = 0;
    for (int index = 0; index < processes; index++) {
        count += shared[index]->count;
        sent_size += shared[index]->sent_size;
        refused += shared[index]->refused;
        mismatched += shared[index]->mismatched;
        lost += shared[index]->lost;
    }
    uint32_t *samples = malloc((count + 1) * sizeof *samples), *next = samples;
    for (int index = 0; index < processes; index++) {
        memcpy(next, shared[index]->samples, shared[index]->count * sizeof *samples);
        next += shared[index]->count;
    }
    qsort(samples, count, sizeof *samples, compare);
    printf("{\"count\": %llu, \"size\": %llu, \"seconds\": %s, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"refused\": %llu, \"mismatched\": %llu, \"lost\": %llu}\n",
        (unsigned long long)count, (unsigned long long)sent_size, argv[6], count ? samples[count / 2] / 10.0 : 0.0,
        count ? samples[count * 99 / 100] / 10.0 : 0.0, (unsigned long long)refused, (unsigned long long)mismatched,
        (unsigned long long)lost);
    return failed != 0;
}
