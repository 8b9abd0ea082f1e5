/*
 * What C gets from the same files: the limit that the benchmarks are drawn against.
 *
 * Each question is a command. It prints samples as JSON, in nanoseconds a unit or bytes a
 * second, with the result of the work, which must agree with the other rivals'.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES = 7, MOST = 64 };

static double samples[MOST];
static int count;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void report(double check) {
  printf("{\"samples\": [");
  for (int i = 0; i < count; i++) printf("%s%.6g", i ? ", " : "", samples[i]);
  printf("], \"check\": %.17g}\n", check);
}

/* The compiler cannot leave out what is consumed. */
static void consume(double value) {
  static volatile double sink;
  sink = value;
  (void)sink;
}

static const uint8_t *map(const char *path, size_t *size) {
  int fd = open(path, O_RDONLY);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat)) die(path);
  void *bytes = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) die("mmap");
  close(fd);
  *size = stat.st_size;
  return bytes;
}

static void random_access(const char *path, const char *records) {
  size_t size, bytes;
  const double *values = (const double *)map(path, &size);
  const uint32_t *at = (const uint32_t *)map(records, &bytes);
  size_t reads = bytes / sizeof *at;
  double check = 0;
  double sink = 0;
  for (int i = 0; i < 100; i++) check += values[at[i]];
  for (int sample = -1; sample < SAMPLES; sample++) {
    double sum = 0, start = now();
    for (size_t i = 0; i < reads; i++) sum += values[at[i]];
    double time = (now() - start) / reads;
    sink += sum;
    if (sample >= 0) samples[count++] = time;
  }
  consume(sink);
  report(check);
}

static void sequential(const char *path) {
  size_t size;
  const double *values = (const double *)map(path, &size);
  double check = 0;
  for (int sample = -1; sample < SAMPLES; sample++) {
    double sum = 0, start = now();
    for (size_t i = 0; i < size / sizeof *values; i++) sum += values[i];
    double speed = size / (now() - start) * 1e9;
    check = sum;
    if (sample >= 0) samples[count++] = speed;
  }
  report(check);
}

/* With how "memmem" the search itself, otherwise just reading all those bytes. */
static void find(const char *path, const char *pattern_path, const char *how) {
  size_t size, length;
  const uint8_t *bytes = map(path, &size), *pattern = map(pattern_path, &length);
  const uint8_t *at = memmem(bytes, size, pattern, length);
  if (!at) die("memmem");
  size_t found = at - bytes;
  int is_search = !strcmp(how, "memmem");
  for (int sample = -1; sample < SAMPLES; sample++) {
    const uint64_t *words = (const uint64_t *)bytes;
    uint64_t sum = 0;
    double start = now();
    if (is_search) sum = (uintptr_t)memmem(bytes, size, pattern, length);
    else for (size_t i = 0; i < (found + length) / 8; i++) sum += words[i];
    double time = now() - start;
    consume(sum);
    if (sample >= 0) samples[count++] = (found + length) / time * 1e9;
  }
  report(found);
}

static void open_close(const char *path) {
  enum { OPENS = 1000 };
  double value = 0;
  for (int sample = -1; sample < 4 * SAMPLES; sample++) {
    double start = now();
    for (int i = 0; i < OPENS; i++) {
      size_t size;
      const uint8_t *bytes = map(path, &size);
      memcpy(&value, bytes + 4096, sizeof value);
      munmap((void *)bytes, size);
    }
    double time = (now() - start) / OPENS;
    if (sample >= 0) samples[count++] = time;
  }
  report(value);
}

static double value_of(const uint8_t *bytes, size_t i, int width) {
  const uint16_t *shorts = (const uint16_t *)bytes;
  const uint32_t *words = (const uint32_t *)bytes;
  const uint64_t *longs = (const uint64_t *)bytes;
  if (width == 2) return __builtin_bswap16(shorts[i]);
  if (width == 4) return __builtin_bswap32(words[i]);
  uint64_t bits = __builtin_bswap64(longs[i]);
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void byteswap_get(const char *path, int width, size_t few) {
  size_t size;
  const uint8_t *bytes = map(path, &size);
  size_t elements = size / width;
  double check = 0;
  double sink = 0;
  for (size_t i = 0; i < few; i++) check += value_of(bytes, i, width);
  for (int sample = -1; sample < SAMPLES; sample++) {
    double sum = 0, start = now();
    if (width == 2) for (size_t i = 0; i < elements; i++) sum += value_of(bytes, i, 2);
    else if (width == 4) for (size_t i = 0; i < elements; i++) sum += value_of(bytes, i, 4);
    else for (size_t i = 0; i < elements; i++) sum += value_of(bytes, i, 8);
    double time = (now() - start) / elements;
    sink += sum;
    if (sample >= 0) samples[count++] = time;
  }
  consume(sink);
  report(check);
}

/*
 * Reverses the bytes of each element, 16 bytes at a time. Compilers do not turn a plain
 * loop into one shuffle by themselves.
 */
typedef uint8_t Lane __attribute__((vector_size(16)));

#define SWAP_ALL(name, ...)                                                \
  static void name(uint8_t *into, const uint8_t *from, size_t size) {      \
    for (size_t i = 0; i < size; i += sizeof(Lane)) {                      \
      Lane lane;                                                           \
      memcpy(&lane, from + i, sizeof lane);                                \
      lane = __builtin_shufflevector(lane, lane, __VA_ARGS__);             \
      memcpy(into + i, &lane, sizeof lane);                                \
    }                                                                      \
  }

SWAP_ALL(swap_16, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
SWAP_ALL(swap_32, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)
SWAP_ALL(swap_64, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8)

static void byteswap_all(const char *path, int width) {
  size_t size;
  const uint8_t *bytes = map(path, &size);
  uint8_t *room = aligned_alloc(4096, size + 4096), *memory = room;
  if (!room) die("aligned_alloc");
  memset(room, 0, size + 4096);
  void (*swap)(uint8_t *, const uint8_t *, size_t) =
      width == 2 ? swap_16 : width == 4 ? swap_32 : swap_64;
  swap(memory, bytes, size);
  for (int sample = 0; sample < SAMPLES; sample++) {
    /* At another place within a page each time; see byteswap.ts. */
    memory = room + 584 * sample;
    double start = now();
    swap(memory, bytes, size);
    samples[count++] = size / (now() - start) * 1e9;
  }
  uint32_t digest = 0;
  const uint32_t *words = (const uint32_t *)memory;
  for (size_t i = 0; i < size / 4; i++) digest = digest * 31 + words[i];
  report((int32_t)digest);
}

/* Resident bytes, from Linux's /proc. */
static double resident(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*s %ld", &pages) != 1) die("/proc/self/statm");
  fclose(file);
  return (double)pages * sysconf(_SC_PAGESIZE);
}

static double faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/* which: 0 resident memory, 1 page faults, 2 time. */
static void footprint(const char *path, const char *offsets, int which) {
  size_t size, bytes;
  const double *at = (const double *)map(offsets, &bytes);
  size_t pages = bytes / sizeof *at;
  double check = 0;
  for (size_t i = 0; i < pages; i++) check += at[i] < 0;
  double memory = resident(), before = faults(), start = now();
  const uint8_t *file = map(path, &size);
  madvise((void *)file, size, MADV_RANDOM);
  for (size_t i = 0; i < pages; i++) check += file[(size_t)at[i]];
  double time = (now() - start) / pages;
  samples[count++] = which == 0 ? resident() - memory : which == 1 ? faults() - before : time;
  report(check);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *question = argv[1], *path = argv[2];
  if (!strcmp(question, "random_access")) random_access(path, argv[3]);
  else if (!strcmp(question, "sequential")) sequential(path);
  else if (!strcmp(question, "find")) find(path, argv[3], argv[4]);
  else if (!strcmp(question, "open_close")) open_close(path);
  else if (!strcmp(question, "byteswap_get")) byteswap_get(path, atoi(argv[3]), atol(argv[4]));
  else if (!strcmp(question, "byteswap_all")) byteswap_all(path, atoi(argv[3]));
  else if (!strcmp(question, "footprint")) footprint(path, argv[3], atoi(argv[4]));
  else return 2;
  return 0;
}
