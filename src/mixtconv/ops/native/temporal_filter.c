/* Depthwise filters over time on the CPU, forward and backward in one pass over memory each.

       y[b, t, c, p] = sum over the taps j of c of  weight[c, j] * x[b, t + offset[c, j], c, p]

   Groups of channels have their own taps; frames outside the clip count as zeros. A frame is
   stored as (C, H * W), NCHW, or as (H * W, C), channels-last. The gradient of x is the same sum
   with the offsets turned round, and that of a weight is the sum over b, t, p of
   gradient[b, t, c, p] * x[b, t + offset, c, p].

   Plain C with the vector extensions of GCC and Clang, of no version of Python and of torch: it is
   loaded with ctypes, and gets the function that runs a loop on the caller's threads from there.
   Which instructions are used is decided when it runs. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__GNUC__)
#error "needs the vector extensions of GCC or Clang"
#endif

#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))

enum { MOST_UNROLLED = 9 /* taps */, EIGHT = 8 /* frames */, PREFETCH_BYTES = 256 };

/* ---------------------------------------------------------------- what is to be computed */

/* Clips (B, T, frame); strides in numbers, the frames themselves are dense. */
typedef struct {
    char *data;
    int64_t clip_stride, frame_stride;
} Clips;

typedef struct {
    Clips source, target; /* target = filtered source, unless target.data is null */
    Clips x, grad;        /* what the gradient of the taps is made of, unless sums is null */
    int64_t direction;    /* 1: frames at t + offset are met, -1: at t - offset */
    const float *taps;    /* a group's are (channels, taps); (taps, channels) in channels-last */
    int64_t num_clips, num_frames, num_channels, num_positions;
    int64_t num_groups;
    const int64_t *channels, *num_taps, *offsets; /* by group; the offsets of all, one by one */
    int64_t channels_last, half; /* layout and precision: bfloat16 instead of float32 */
    int64_t machine;             /* number of the instruction set; see mixtconv_instruction_set */
    /* The library's own: */
    double *sums;         /* gradient of the taps; one row of them a strip in channels-last */
    int64_t num_weights;  /* in all groups */
    int64_t num_strips;   /* pieces of work, shared out among the threads */
    int64_t length, rows; /* most that a tile holds of them; see Run */
} Job;

/* All frames of a clip, from a place in them on. */
typedef struct {
    char *data;
    int64_t bytes; /* from a frame to the next */
} Frames;

/* A tile: `rows` rows of `length` numbers in all frames. A row is positions of a channel (NCHW) or
   the channels of a group at a position (channels-last). */
typedef struct {
    Frames source, target, x, grad;
    int64_t num_frames, length, rows, row_stride;
    const int64_t *offsets;
    int64_t num_taps, first, step; /* tap j lies at first + j * step; step 0 if no rule is in them */
    int64_t source_first;          /* `first` of what is filtered, whose taps may be turned round */
    int reversed;                  /* whether the weights then come last first */
    const float *weights;          /* of the first row */
    double *sums;
} Run;

/* The loops of one instruction set, by layout, precision and half the number of taps. */
typedef void (*Loop)(const Run *run);
typedef struct {
    int64_t lanes;
    Loop by_layout[2][2][(MOST_UNROLLED + 1) / 2];
} Loops;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE Frames frames_at(const Clips *clips, int64_t clip, int64_t at, int half) {
    int64_t size = half ? 2 : 4;
    Frames frames = {clips->data ? clips->data + size * (clip * clips->clip_stride + at) : NULL,
                     size * clips->frame_stride};
    return frames;
}

/* Evenly spaced taps, rising or falling, are walked through in rising order. */
INLINE void find_rule(const Job *job, Run *run) {
    int64_t last = run->num_taps - 1;
    int64_t step = last ? run->offsets[1] - run->offsets[0] : 1;
    for (int64_t j = 1; j <= last; j++)
        if (run->offsets[j] - run->offsets[j - 1] != step)
            step = 0;
    run->step = step;
    run->first = run->offsets[0];
    run->source_first = job->direction > 0 ? run->offsets[0] : -run->offsets[last];
    run->reversed = job->direction < 0;
    if (step < 0 && !job->sums) { /* a filter alone may have its taps turned round */
        run->step = -step;
        run->source_first = job->direction > 0 ? run->offsets[last] : -run->offsets[0];
        run->reversed = !run->reversed;
    } else if (step < 0) {
        run->step = 0;
    }
}

/* Channels-last: all channels of a group at one position. */
INLINE Run run_of_group(const Job *job, int64_t clip, int64_t position, int64_t group, int64_t strip,
                        int half) {
    int64_t at = position * job->num_channels, weight = 0, offset = 0;
    for (int64_t m = 0; m < group; m++) {
        at += job->channels[m];
        weight += job->channels[m] * job->num_taps[m];
        offset += job->num_taps[m];
    }
    Run run = {.source = frames_at(&job->source, clip, at, half),
               .target = frames_at(&job->target, clip, at, half),
               .x = frames_at(&job->x, clip, at, half),
               .grad = frames_at(&job->grad, clip, at, half),
               .num_frames = job->num_frames,
               .length = job->channels[group],
               .rows = 1,
               .offsets = job->offsets + offset,
               .num_taps = job->num_taps[group],
               .weights = job->taps + weight,
               .sums = job->sums ? job->sums + strip * job->num_weights + weight : NULL};
    find_rule(job, &run);
    return run;
}

INLINE void step_forward(Run *run, int64_t bytes) {
    run->source.data += bytes;
    run->target.data += run->target.data ? bytes : 0;
    run->x.data += bytes;
    run->grad.data += bytes;
}

/* NCHW: the channels from `channel` on that lie in its group and before `last`, from position `at`
   on. */
INLINE Run run_of_channels(const Job *job, int64_t clip, int64_t channel, int64_t last, int64_t at,
                           int half) {
    int64_t group = 0, end = job->channels[0];
    while (channel >= end)
        end += job->channels[++group];
    Run run = run_of_group(job, clip, 0, group, 0, half);
    int64_t own = (channel - (end - job->channels[group])) * run.num_taps;
    at += channel * job->num_positions;
    run.source = frames_at(&job->source, clip, at, half);
    run.target = frames_at(&job->target, clip, at, half);
    run.x = frames_at(&job->x, clip, at, half);
    run.grad = frames_at(&job->grad, clip, at, half);
    run.length = least(job->length, (channel + 1) * job->num_positions - at);
    run.rows = least(end, last) - channel;
    run.row_stride = job->num_positions;
    run.weights += own;
    run.sums = run.sums ? run.sums + own : NULL;
    return run;
}

/* ---------------------------------------------------------------- single numbers */

INLINE float load_one(const char *row, int64_t at, int half) {
    float value;
    if (half) {
        uint16_t bits;
        memcpy(&bits, row + 2 * at, sizeof bits);
        uint32_t wide = (uint32_t)bits << 16;
        memcpy(&value, &wide, sizeof value);
    } else {
        memcpy(&value, row + 4 * at, sizeof value);
    }
    return value;
}

INLINE void store_one(char *row, int64_t at, float value, int half) {
    if (half) {
        uint32_t wide;
        memcpy(&wide, &value, sizeof wide);
        uint16_t bits = value != value ? 0x7fc0 : (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
        memcpy(row + 2 * at, &bits, sizeof bits);
    } else {
        memcpy(row + 4 * at, &value, sizeof value);
    }
}

/* Any number of taps at any offsets, one by one. */
static void run_any(const Job *job, const Run *run, int half) {
    enum { PIECE = 64 };
    int64_t size = half ? 2 : 4;
    int64_t tap_stride = job->channels_last ? run->length : 1;
    for (int64_t row = 0; row < run->rows; row++)
        for (int64_t start = 0; start < run->length; start += PIECE)
            for (int64_t t = 0; t < run->num_frames; t++) {
                int64_t width = least(PIECE, run->length - start);
                int64_t at = size * (row * run->row_stride + start);
                int64_t own = job->channels_last ? start : row * run->num_taps;
                int64_t next = job->channels_last ? 1 : 0; /* from a number's weight to the next */
                float sums[PIECE] = {0};
                for (int64_t j = 0; j < run->num_taps && run->target.data; j++) {
                    int64_t frame = t + job->direction * run->offsets[j];
                    if (frame < 0 || frame >= run->num_frames)
                        continue;
                    const char *source = run->source.data + frame * run->source.bytes + at;
                    for (int64_t i = 0; i < width; i++)
                        sums[i] += run->weights[own + j * tap_stride + i * next] *
                                   load_one(source, i, half);
                }
                for (int64_t i = 0; i < width && run->target.data; i++)
                    store_one(run->target.data + t * run->target.bytes + at, i, sums[i], half);
                for (int64_t j = 0; j < run->num_taps && run->sums; j++) {
                    int64_t frame = t + run->offsets[j];
                    if (frame < 0 || frame >= run->num_frames)
                        continue;
                    const char *x = run->x.data + frame * run->x.bytes + at;
                    const char *grad = run->grad.data + t * run->grad.bytes + at;
                    for (int64_t i = 0; i < width; i++)
                        run->sums[own + j * tap_stride + i * next] +=
                            (double)load_one(grad, i, half) * load_one(x, i, half);
                }
            }
}

/* ---------------------------------------------------------------- one set of loops a machine */

#define PASTE(a, b) a##_##b

#define NAME(f) PASTE(f, basic) /* SSE2 on x86-64, NEON on 64-bit Arm */
#define TARGET
#define LANES 4
#include "kernels.h"
#undef NAME
#undef TARGET
#undef LANES

#if defined(__x86_64__)
#define NAME(f) PASTE(f, avx2)
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#include "kernels.h"
#undef NAME
#undef TARGET
#undef LANES

#define NAME(f) PASTE(f, avx512)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define LANES 16
#include "kernels.h"
#undef NAME
#undef TARGET
#undef LANES
#endif

static const struct {
    const char *name;
    const Loops *loops;
} machines[] = {
#if defined(__x86_64__)
    {"avx512", &loops_avx512},
    {"avx2", &loops_avx2},
    {"sse2", &loops_basic},
#elif defined(__aarch64__)
    {"neon", &loops_basic},
#else
    {"generic", &loops_basic},
#endif
};
enum { NUM_MACHINES = sizeof machines / sizeof *machines };

static int runs_here(int number) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (number == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (number == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return number < NUM_MACHINES;
}

/* The name of the instruction set number `number`, the best one first; null past the last, and
   an empty name where this processor does not have it. */
EXPORT const char *mixtconv_instruction_set(int number) {
    if (number < 0 || number >= NUM_MACHINES)
        return NULL;
    return runs_here(number) ? machines[number].name : "";
}

/* The widest vectors that fit into a row; rows shorter than any go number by number. */
static void run_tile(const Job *job, const Run *run, int half) {
    if (run->step && run->num_taps <= MOST_UNROLLED && run->num_taps % 2)
        for (int number = job->machine; number < NUM_MACHINES; number++)
            if (run->length >= machines[number].loops->lanes) {
                machines[number].loops->by_layout[job->channels_last][half][run->num_taps / 2](run);
                return;
            }
    run_any(job, run, half);
}

/* NCHW: a strip is some channels of one clip, or of all clips where the taps get a gradient. */
static void strip_of_channels(const Job *job, int64_t strip, int half) {
    int64_t blocks = (job->num_channels + job->rows - 1) / job->rows;
    int64_t first_clip = job->sums ? 0 : strip / blocks;
    int64_t last_clip = job->sums ? job->num_clips : first_clip + 1;
    int64_t first = strip % blocks * job->rows;
    int64_t last = least(first + job->rows, job->num_channels);
    for (int64_t clip = first_clip; clip < last_clip; clip++)
        for (int64_t channel = first, rows = 0; channel < last; channel += rows)
            for (int64_t at = 0; at < job->num_positions; at += job->length) {
                Run run = run_of_channels(job, clip, channel, last, at, half);
                run_tile(job, &run, half);
                rows = run.rows;
            }
}

/* Channels-last: a strip is a range of positions, counted over all clips. */
static void strip_of_positions(const Job *job, int64_t strip, int half) {
    enum { AT_ONCE = 8 }; /* groups that are walked side by side, so that memory is read in order */
    Run runs[AT_ONCE];
    int64_t all = job->num_clips * job->num_positions;
    int64_t end = all * (strip + 1) / job->num_strips, bytes = job->num_channels * (half ? 2 : 4);
    for (int64_t first = 0; first < job->num_groups; first += AT_ONCE) {
        int64_t groups = least(AT_ONCE, job->num_groups - first);
        for (int64_t at = all * strip / job->num_strips; at < end;) {
            int64_t clip = at / job->num_positions, place = at % job->num_positions;
            int64_t positions = least(job->num_positions - place, end - at);
            for (int64_t group = 0; group < groups; group++)
                runs[group] = run_of_group(job, clip, place, first + group, strip, half);
            for (int64_t position = 0; position < positions; position++)
                for (int64_t group = 0; group < groups; group++) {
                    run_tile(job, &runs[group], half);
                    step_forward(&runs[group], bytes);
                }
            at += positions;
        }
    }
}

static void run_strips(int64_t begin, int64_t end, void *data) {
    const Job *job = data;
    for (int64_t strip = begin; strip < end; strip++)
        if (job->channels_last)
            strip_of_positions(job, strip, job->half);
        else
            strip_of_channels(job, strip, job->half);
}

/* ---------------------------------------------------------------- threads */

/* torch's own loop over its own threads, as torch/csrc/stable/c/shim.h declares it; 0 is success */
typedef void (*Strips)(int64_t begin, int64_t end, void *job);
typedef int (*ParallelFor)(int64_t begin, int64_t end, int64_t grain, Strips strips, void *job);

/* OpenMP's region, as GCC calls it; used with versions of torch that lack the loop above. */
typedef void (*Region)(void (*body)(void *), void *data, unsigned num_threads, unsigned flags);
typedef int (*ThreadNumber)(void);

/* How loops are run. The library keeps no threads and no state of its own: the caller names the
   functions in each call, all null to run on the calling thread alone. */
typedef struct {
    ParallelFor parallel_for;
    Region region;
    ThreadNumber thread_number, num_threads;
    int64_t most_threads;
} Threads;

typedef struct {
    Job *job;
    const Threads *threads;
} Shared;

static void run_share(void *data) {
    const Shared *shared = data;
    int64_t thread = shared->threads->thread_number(), all = shared->threads->num_threads();
    int64_t count = shared->job->num_strips;
    run_strips(count * thread / all, count * (thread + 1) / all, shared->job);
}

static void run_all_strips(const Threads *threads, Job *job, int64_t grain) {
    int64_t count = job->num_strips, most = (count + grain - 1) / grain;
    if (most > 1 && threads->parallel_for) {
        int failed = threads->parallel_for(0, count, grain, run_strips, job);
        (void)failed; /* it passes on what the strips throw, and they throw nothing */
    } else if (most > 1 && threads->region && threads->most_threads > 1) {
        Shared shared = {job, threads};
        threads->region(run_share, &shared, least(most, threads->most_threads), 0);
    } else {
        run_strips(0, count, job);
    }
}

/* ---------------------------------------------------------------- the entry */

static void turn(const Job *job, const float *from, float *to) {
    for (int64_t m = 0; m < job->num_groups; m++) {
        int64_t channels = job->channels[m], taps = job->num_taps[m];
        for (int64_t c = 0; c < channels; c++)
            for (int64_t j = 0; j < taps; j++)
                to[j * channels + c] = from[c * taps + j];
        from += channels * taps;
        to += channels * taps;
    }
}

/* Sums of all strips, in the order of strips whatever the threads did, as (channels, taps). */
static void add_up(const Job *job, int64_t rows, float *gradient) {
    int64_t first = 0;
    for (int64_t m = 0; m < job->num_groups; m++) {
        int64_t channels = job->channels[m], taps = job->num_taps[m];
        for (int64_t c = 0; c < channels; c++)
            for (int64_t j = 0; j < taps; j++) {
                int64_t at = job->channels_last ? j * channels + c : c * taps + j;
                double sum = 0;
                for (int64_t row = 0; row < rows; row++)
                    sum += job->sums[row * job->num_weights + first + at];
                gradient[first + c * taps + j] = (float)sum;
            }
        first += channels * taps;
    }
}

static int64_t between(int64_t value, int64_t lowest, int64_t highest) {
    return value < lowest ? lowest : value > highest ? highest : value;
}

/* Filter `job->source` into `job->target`, and sum the gradient of the taps, as (channels, taps)
   of each group, into `tap_gradient`; either may be null. Returns 0, or 1 where memory is out. */
EXPORT int mixtconv_run(Job *job, float *tap_gradient, const Threads *threads) {
    enum { FEWEST_NUMBERS = 1 << 15, MOST_STRIPS = 64, NUMBERS_OF_A_TILE = 1 << 14 };
    const float *taps = job->taps;
    float *turned = NULL;
    int64_t rows = 1;
    int64_t frames = job->num_frames, channels = job->num_channels;
    int64_t positions = job->num_clips * job->num_positions;
    job->num_weights = 0;
    for (int64_t m = 0; m < job->num_groups; m++)
        job->num_weights += job->channels[m] * job->num_taps[m];
    if (job->channels_last) {
        job->num_strips = between(positions / 8, 1, MOST_STRIPS);
        rows = job->num_strips;
        turned = malloc((size_t)(job->num_weights + 1) * sizeof *turned);
        if (!turned)
            return 1;
        turn(job, taps, turned);
        job->taps = turned;
    } else {
        job->length = between(NUMBERS_OF_A_TILE / frames / 64 * 64, 64, job->num_positions);
        job->rows = between(NUMBERS_OF_A_TILE / frames / job->num_positions, 1, channels);
        int64_t blocks = (channels + job->rows - 1) / job->rows;
        job->num_strips = tap_gradient ? blocks : job->num_clips * blocks;
    }
    job->sums = NULL;
    if (tap_gradient) {
        job->sums = calloc((size_t)(rows * job->num_weights + 1), sizeof *job->sums);
        if (!job->sums) {
            free(turned);
            job->taps = taps;
            return 1;
        }
    }
    int64_t numbers_of_a_strip = positions * frames * channels / job->num_strips + 1;
    run_all_strips(threads, job, FEWEST_NUMBERS / numbers_of_a_strip + 1);
    if (tap_gradient)
        add_up(job, rows, tap_gradient);
    free(job->sums);
    free(turned);
    job->sums = NULL;
    job->taps = taps;
    return 0;
}
