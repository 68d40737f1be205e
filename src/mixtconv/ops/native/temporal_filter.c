/* Depthwise filters over time on the CPU, forward and backward in one pass over memory each.

       y[b, t, c, p] = sum over the taps j of c of  weight[c, j] * x[b, t + offset[c, j], c, p]

   Groups of channels have their own taps; frames outside the clip count as zeros. A frame is
   stored as (C, H * W), NCHW, or as (H * W, C), channels-last. The gradient of x is the same sum
   with negated offsets, and that of a weight is the sum over b, t, p of
   gradient[b, t, c, p] * x[b, t + offset, c, p].

   Plain C with the vector extensions of GCC and Clang, independent of the versions of Python and
   torch: it is loaded with ctypes, and is passed the function that runs a loop on the caller's
   threads. The instruction set is chosen at run time.

   This file cuts the work into strips, runs them on threads and has the entry points; `tiles.h` cuts
   a strip into tiles, `kernels.h` computes a tile. `steps.h` and `step_kernels.h` are the same for
   one new frame of many streams. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if !defined(__GNUC__)
#error "needs the vector extensions of GCC or Clang"
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { MOST_UNROLLED = 9 /* taps */, EIGHT = 8 /* frames */, PREFETCH_BYTES = 256 };

#include "tiles.h"
#include "steps.h"

/* ---------------------------------------------------------------- one set of loops per instruction set */

#define PASTE(a, b) a##_##b

#define NAME(f) PASTE(f, basic) /* SSE2 on x86-64, NEON on 64-bit Arm */
#define TARGET
#define LANES 4
#include "kernels.h"
#include "step_kernels.h"
#undef NAME
#undef TARGET
#undef LANES

#if defined(__x86_64__)
#define NAME(f) PASTE(f, avx2)
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#include "kernels.h"
#include "step_kernels.h"
#undef NAME
#undef TARGET
#undef LANES

#define NAME(f) PASTE(f, avx512)
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define LANES 16
#include "kernels.h"
#include "step_kernels.h"
#undef NAME
#undef TARGET
#undef LANES
#endif

static const struct {
    const char *name;
    const Loops *loops;
    const StepLoop *steps; /* by number of taps in the ring */
} machines[] = {
#if defined(__x86_64__)
    {"avx512", &loops_avx512, steps_avx512},
    {"avx2", &loops_avx2, steps_avx2},
    {"sse2", &loops_basic, steps_basic},
#elif defined(__aarch64__)
    {"neon", &loops_basic, steps_basic},
#else
    {"generic", &loops_basic, steps_basic},
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

/* The widest vectors that fit into a row; shorter rows are filtered number by number. */
static void run_tile(const Job *job, const Run *run, int half) {
    if (run->step && run->num_taps <= MOST_UNROLLED && run->num_taps % 2)
        for (int number = job->machine; number < NUM_MACHINES; number++)
            if (run->length >= machines[number].loops->lanes) {
                machines[number].loops->by_layout[job->channels_last][half][run->num_taps / 2](run);
                return;
            }
    run_any(job, run, half);
}

/* What was stored past the caches is in memory before another thread reads it. */
static void finish_streaming(void) {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* NCHW: a strip is some channels of one clip, or of all clips if the taps get a gradient, so that
   only one strip adds to the sums of a channel. */
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
    enum { AT_ONCE = 8 }; /* groups that alternate by position, so that memory is read in order */
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
    finish_streaming();
}

/* ---------------------------------------------------------------- threads */

/* torch's own loop over its own threads, as torch/csrc/stable/c/shim.h declares it; 0 is success */
typedef void (*Strips)(int64_t begin, int64_t end, void *job);
typedef int (*ParallelFor)(int64_t begin, int64_t end, int64_t grain, Strips strips, void *job);

/* OpenMP's region, as GCC calls it; used with versions of torch that lack the loop above. */
typedef void (*Region)(void (*body)(void *), void *data, unsigned num_threads, unsigned flags);
typedef int (*ThreadNumber)(void);

/* How loops are run. The library has no threads and no state of its own: the caller passes the
   functions in each call, all null to run on the calling thread alone. */
typedef struct {
    ParallelFor parallel_for;
    Region region;
    ThreadNumber thread_number, num_threads, most_threads;
    int64_t process; /* that has the threads; a fork of it has none */
} Threads;

typedef struct {
    Strips strips;
    void *job;
    int64_t count;
    const Threads *threads;
} Shared;

static void run_share(void *data) {
    const Shared *shared = data;
    int64_t thread = shared->threads->thread_number(), all = shared->threads->num_threads();
    int64_t count = shared->count;
    shared->strips(count * thread / all, count * (thread + 1) / all, shared->job);
}

static void run_all_strips(const Threads *threads, Strips strips, void *job, int64_t count,
                           int64_t grain) {
    int64_t most = (count + grain - 1) / grain;
    if (most > 1 && threads->process != getpid())
        most = 1;
    if (most > 1 && threads->parallel_for) {
        int failed = threads->parallel_for(0, count, grain, strips, job);
        (void)failed; /* it reports exceptions of the strips, which throw none */
    } else if (most > 1 && threads->region && threads->most_threads() > 1) {
        Shared shared = {strips, job, count, threads};
        threads->region(run_share, &shared, least(most, threads->most_threads()), 0);
    } else {
        strips(0, count, job);
    }
}

/* ---------------------------------------------------------------- the entry */

/* Weights of every group from (channels, taps) to (taps, channels). */
static void transpose_weights(const Job *job, const float *from, float *to) {
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

enum { FEWEST_NUMBERS = 1 << 15 /* of a thread */, MOST_STRIPS = 64 };

static int64_t between(int64_t value, int64_t lowest, int64_t highest) {
    return value < lowest ? lowest : value > highest ? highest : value;
}

/* Filter `job->source` into `job->target`, and sum the gradient of the taps, as (channels, taps)
   of each group, into `tap_gradient`; either may be null. Returns 0, or 1 if an allocation fails. */
EXPORT int mixtconv_run(Job *job, float *tap_gradient, const Threads *threads) {
    enum { NUMBERS_OF_A_TILE = 1 << 14 };
    const float *taps = job->taps;
    float *transposed = NULL;
    int64_t rows = 1;
    int64_t frames = job->num_frames, channels = job->num_channels;
    int64_t positions = job->num_clips * job->num_positions;
    job->num_weights = 0;
    for (int64_t m = 0; m < job->num_groups; m++)
        job->num_weights += job->channels[m] * job->num_taps[m];
    /* Channels-last: strips of positions, each with sums of its own. NCHW: strips of channels, whose
       tiles hold about NUMBERS_OF_A_TILE in all frames together. */
    if (job->channels_last) {
        job->num_strips = between(positions / 8, 1, MOST_STRIPS);
        rows = job->num_strips;
        transposed = malloc((size_t)(job->num_weights + 1) * sizeof *transposed);
        if (!transposed)
            return 1;
        transpose_weights(job, taps, transposed);
        job->taps = transposed;
    } else {
        job->length = between(NUMBERS_OF_A_TILE / frames / 64 * 64, 64, job->num_positions);
        job->rows = between(NUMBERS_OF_A_TILE / frames / job->num_positions, 1, channels);
        int64_t blocks = (channels + job->rows - 1) / job->rows;
        job->num_strips = tap_gradient ? blocks : job->num_clips * blocks;
    }
    job->streamed = is_streamed(job, tap_gradient != NULL);
    job->sums = NULL;
    if (tap_gradient) {
        job->sums = calloc((size_t)(rows * job->num_weights + 1), sizeof *job->sums);
        if (!job->sums) {
            free(transposed);
            job->taps = taps;
            return 1;
        }
    }
    int64_t numbers_of_a_strip = positions * frames * channels / job->num_strips + 1;
    run_all_strips(threads, run_strips, job, job->num_strips,
                   FEWEST_NUMBERS / numbers_of_a_strip + 1);
    if (tap_gradient)
        add_up(job, rows, tap_gradient);
    free(job->sums);
    free(transposed);
    job->sums = NULL;
    job->taps = taps;
    return 0;
}

/* ---------------------------------------------------------------- one frame of many streams */

/* Some rows of one group in one stream: positions in channels-last, channels of the group in NCHW. */
static void step_rows(const StepCall *call, int64_t stream, const StepGroup *group, int64_t begin,
                      int64_t end) {
    const Step *step = call->step;
    int64_t along = step->channels_last, positions = step->num_positions, depth = group->depth;
    int64_t length = along ? group->channels : positions, frame = group->channels * positions;
    int64_t first = along ? begin * step->num_channels + group->first_channel
                          : (group->first_channel + begin) * positions;
    int64_t at = stream * step->num_channels * positions + first, now = call->streams->counts[stream];
    int64_t num_taps = group->num_lags + group->meets_new;
    StepRows rows = {.source = call->source + at,
                     .target = call->target + at,
                     .weights = group->taps + (along ? 0 : begin * num_taps),
                     .row_step = along ? step->num_channels : positions,
                     .past_row_step = length,
                     .weight_row_step = along ? 0 : num_taps,
                     .num_rows = end - begin,
                     .length = length,
                     .along = (int)along,
                     .meets_new = (int)group->meets_new};
    if (depth) {
        float *ring = group->ring + call->streams->places[stream] * depth * frame + begin * length;
        rows.oldest = ring + now % depth * frame;
        for (int64_t j = 0; j < group->num_lags; j++)
            rows.past[j] = ring + (now + depth - group->lags[j]) % depth * frame;
    }
    machines[step->machine].steps[group->num_lags](&rows);
}

static int64_t rows_of_a_frame(const Step *step) {
    return step->channels_last ? step->num_positions : step->num_channels;
}

static void step_strips(int64_t begin, int64_t end, void *data) {
    const StepCall *call = data;
    const Step *step = call->step;
    int64_t rows = rows_of_a_frame(step), parts = call->num_strips / call->streams->count;
    for (int64_t strip = begin; strip < end; strip++) {
        int64_t part = strip % parts, first = rows * part / parts, last = rows * (part + 1) / parts;
        StepGroup group = {.taps = step->taps, .lags = step->lags};
        for (int64_t m = 0; m < step->num_groups; m++) {
            group.channels = step->channels[m];
            group.depth = step->depths[m];
            group.num_lags = step->num_lags[m];
            group.meets_new = step->meets_new[m];
            group.ring = step->rings[m];
            int64_t before = step->channels_last ? 0 : group.first_channel;
            int64_t most = step->channels_last ? rows : group.channels;
            step_rows(call, strip / parts, &group, between(first - before, 0, most),
                      between(last - before, 0, most));
            group.first_channel += group.channels;
            group.taps += group.channels * (group.num_lags + group.meets_new);
            group.lags += group.num_lags;
        }
    }
    finish_streaming();
}

/* Filter the new frames, one of every stream and all dense, and store them in the rings. No group may
   have more taps in its ring than `mixtconv_most_step_lags`; no stream may occur twice. */
EXPORT void mixtconv_step(const Step *step, const float *source, float *target,
                          const StepStreams *streams, const Threads *threads) {
    enum { MOST_STRIPS_OF_A_STREAM = 16 }; /* more would break up sequential access too often */
    int64_t rows = rows_of_a_frame(step);
    int64_t numbers = streams->count * step->num_channels * step->num_positions;
    int64_t strips = streams->count * between(rows / 8, 1, MOST_STRIPS_OF_A_STREAM);
    StepCall call = {step, source, target, streams, strips};
    if (numbers)
        run_all_strips(threads, step_strips, &call, strips,
                       FEWEST_NUMBERS / (numbers / strips + 1) + 1);
}

EXPORT int64_t mixtconv_most_step_lags(void) { return MOST_LAGS; }
