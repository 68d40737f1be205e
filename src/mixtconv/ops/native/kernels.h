/* The loops of the temporal filter for one instruction set.

   Included once for each instruction set, with
     NAME(f)   the function's name there
     TARGET    the attribute that lets the compiler use the instructions
     LANES     float32 numbers in a vector register
   Elements are float32 or bfloat16 (`half`); products and sums are float32.

   A vector of numbers is filtered through all frames of a clip before the next one: each frame of it
   is loaded once, and stays in a register for all taps that meet it.
*/

typedef float NAME(floats) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef NAME(floats) NAME(anywhere) __attribute__((aligned(4), may_alias)); /* in memory */
typedef float NAME(half_floats) __attribute__((vector_size(2 * LANES)));
typedef double NAME(doubles) __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef uint32_t NAME(words) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint16_t NAME(halves) __attribute__((vector_size(2 * LANES), aligned(2)));

INLINE TARGET NAME(floats) NAME(load)(const char *row, int64_t at, int half) {
    NAME(floats) value;
    if (half) {
        NAME(halves) bits;
        memcpy(&bits, row + 2 * at, sizeof bits);
        NAME(words) wide = __builtin_convertvector(bits, NAME(words)) << 16;
        memcpy(&value, &wide, sizeof value);
    } else {
        value = *(const NAME(anywhere) *)(row + 4 * at);
    }
    return value;
}

INLINE TARGET void NAME(store)(char *row, int64_t at, NAME(floats) value, int half) {
    if (half) {
        NAME(words) wide;
        memcpy(&wide, &value, sizeof wide);
        NAME(words) rounded = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16; /* ties to even */
        NAME(words) is_nan = (NAME(words))(value != value);
        rounded = (is_nan & 0x7fc0) | (~is_nan & rounded);
        NAME(halves) bits = __builtin_convertvector(rounded, NAME(halves));
        memcpy(row + 2 * at, &bits, sizeof bits);
    } else {
        *(NAME(anywhere) *)(row + 4 * at) = value;
    }
}

#if defined(__x86_64__)
/* Store a vector that begins where it should in memory past the caches: the line that it fills is not
   read, and pushes out nothing that is still needed. */
INLINE TARGET void NAME(stream)(float *at, NAME(floats) value) {
#if LANES == 16
    _mm512_stream_ps(at, (__m512)value);
#elif LANES == 8
    _mm256_stream_ps(at, (__m256)value);
#else
    _mm_stream_ps(at, (__m128)value);
#endif
}
#endif

/* One vector of one frame, past the caches if `streamed`. */
INLINE TARGET void NAME(store_frame)(const Run *run, int64_t frame, int64_t at, NAME(floats) value,
                                     int half, int streamed) {
    char *row = run->target.data + frame * run->target.bytes;
#if defined(__x86_64__)
    if (streamed) {
        NAME(stream)((float *)row + at, value);
        return;
    }
#endif
    NAME(store)(row, at, value, half);
}

/* One vector of one frame; zeros outside the clip. */
INLINE TARGET NAME(floats) NAME(load_frame)(const Run *run, const Frames *frames, int64_t frame,
                                            int64_t at, int half) {
    if (frame < 0 || frame >= run->num_frames)
        return (NAME(floats)){0};
    return NAME(load)(frames->data + frame * frames->bytes, at, half);
}

/* y[t] = sum over the taps j of weight_j * x[t + first + j * step], for one vector of all frames.
   The frames that the taps meet are kept in registers, so that each is loaded once. */
INLINE TARGET void NAME(filter_vector)(const Run *run, const NAME(floats) * weights, int64_t at,
                                       int count, int half, int streamed) {
    for (int64_t phase = 0; phase < run->step; phase++) {
        NAME(floats) window[MOST_UNROLLED];
        int64_t frame = phase + run->source_first;
        for (int j = 0; j < count - 1; j++, frame += run->step)
            window[j] = NAME(load_frame)(run, &run->source, frame, at, half);
        for (int64_t t = phase; t < run->num_frames; t += run->step, frame += run->step) {
            window[count - 1] = NAME(load_frame)(run, &run->source, frame, at, half);
            NAME(floats) sum = weights[0] * window[0];
            for (int j = 1; j < count; j++)
                sum += weights[j] * window[j];
            NAME(store_frame)(run, t, at, sum, half, streamed);
            for (int j = 0; j < count - 1; j++)
                window[j] = window[j + 1];
        }
    }
}

/* The same for EIGHT results from `t` on and taps on neighbouring frames, `before` of them earlier,
   without a branch: zeros before the block if the clip `opens` here, behind it if it `closes`. */
INLINE TARGET void NAME(filter_eight)(const Run *run, const NAME(floats) * weights, int64_t at,
                                      int64_t t, int opens, int closes, int before, int count,
                                      int half, int streamed) {
    const int after = count - 1 - before;
    NAME(floats) frames[EIGHT + MOST_UNROLLED];
    for (int j = opens ? before : 0; j < EIGHT + before + (closes ? 0 : after); j++) {
        const char *row = run->source.data + (t + j - before) * run->source.bytes;
        __builtin_prefetch(row + at * (half ? 2 : 4) + PREFETCH_BYTES);
        frames[j] = NAME(load)(row, at, half);
    }
    for (int i = 0; i < EIGHT; i++) {
        NAME(floats) sum = weights[before] * frames[i + before];
        for (int j = 0; j < count; j++)
            if (j != before && !(opens && i + j < before) && !(closes && i + j >= EIGHT + before))
                sum += weights[j] * frames[i + j];
        NAME(store_frame)(run, t + i, at, sum, half, streamed);
    }
}

/* All frames in such blocks; the last ones overlap where T is no multiple of EIGHT. Returns 0, with
   nothing done, for other offsets or a clip that is too short. */
INLINE TARGET int NAME(filter_eights)(const Run *run, const NAME(floats) * weights, int64_t at,
                                      int before, int count, int half, int streamed) {
    int64_t after = count - 1 - before, last = run->num_frames - EIGHT;
    if (run->step != 1 || run->source_first != -before || (last && (last < before || last < after)))
        return 0;
    if (last == 0) {
        NAME(filter_eight)(run, weights, at, 0, 1, 1, before, count, half, streamed);
        return 1;
    }
    NAME(filter_eight)(run, weights, at, 0, 1, 0, before, count, half, streamed);
    for (int64_t t = EIGHT; t < last; t += EIGHT)
        NAME(filter_eight)(run, weights, at, least(t, last - after), 0, 0, before, count, half,
                           streamed);
    NAME(filter_eight)(run, weights, at, last, 0, 1, before, count, half, streamed);
    return 1;
}

INLINE TARGET void NAME(filter_all)(const Run *run, const NAME(floats) * weights, int64_t at,
                                    int count, int half, int streamed) {
    int centred = count / 2, causal = count - 1; /* and the gradient of causal ones, 0 */
    if (!NAME(filter_eights)(run, weights, at, centred, count, half, streamed) &&
        !NAME(filter_eights)(run, weights, at, causal, count, half, streamed) &&
        !NAME(filter_eights)(run, weights, at, 0, count, half, streamed))
        NAME(filter_vector)(run, weights, at, count, half, streamed);
}

/* One vector of all frames. */
INLINE TARGET void NAME(filter_frames)(const Run *run, const NAME(floats) * weights, int64_t at,
                                       int count, int half) {
#if defined(__x86_64__)
    if (!half && run->streamed && (uintptr_t)(run->target.data + 4 * at) % sizeof *weights == 0) {
        NAME(filter_all)(run, weights, at, count, 0, 1);
        return;
    }
#endif
    NAME(filter_all)(run, weights, at, count, half, 0);
}

/* sums_j += gradient[t] * x[t + first + j * step] over all t, for one vector of all frames. */
INLINE TARGET void NAME(dot_vector)(const Run *run, NAME(floats) * sums, NAME(words) mask,
                                    int64_t at, int count, int half) {
    for (int64_t phase = 0; phase < run->step; phase++) {
        NAME(floats) window[MOST_UNROLLED];
        int64_t frame = phase + run->first;
        for (int j = 0; j < count - 1; j++, frame += run->step)
            window[j] = NAME(load_frame)(run, &run->x, frame, at, half);
        for (int64_t t = phase; t < run->num_frames; t += run->step, frame += run->step) {
            window[count - 1] = NAME(load_frame)(run, &run->x, frame, at, half);
            NAME(floats) factor = NAME(load_frame)(run, &run->grad, t, at, half);
            factor = (NAME(floats))((NAME(words))factor & mask);
            for (int j = 0; j < count; j++)
                sums[j] += factor * window[j];
            for (int j = 0; j < count - 1; j++)
                window[j] = window[j + 1];
        }
    }
}

/* Add a vector to sums in double precision. */
INLINE TARGET void NAME(add_to)(double *sums, NAME(floats) value) {
    NAME(half_floats) halves[2];
    memcpy(halves, &value, sizeof value);
    for (int half = 0; half < 2; half++)
        *(NAME(doubles) *)(sums + half * LANES / 2) +=
            __builtin_convertvector(halves[half], NAME(doubles));
}

/* How a row is cut into vectors: whole ones that begin where a vector should in memory, and before
   and behind them, as vectors -2 and -1, what is left over, each overlapping its neighbour. These
   two go first: done last, their loads would wait for the stores just before, where the frames of
   source and target are a multiple of 4096 bytes apart. */
typedef struct {
    int64_t length, before, behind, whole;
} NAME(Cut);

INLINE TARGET NAME(Cut) NAME(cut)(const char *row, int64_t length, int half) {
    int64_t before = -(intptr_t)row / (half ? 2 : 4) & (LANES - 1);
    before = before < length ? before : length;
    int64_t whole = (length - before) / LANES;
    return (NAME(Cut)){length, before, length - before - whole * LANES, whole};
}

/* Where a vector starts; `mask` has ones for the numbers that no other vector counts. */
INLINE TARGET int64_t NAME(start_of)(const NAME(Cut) * cut, int64_t number, NAME(words) * mask) {
    *mask = ~(NAME(words)){0};
    if (number >= 0)
        return cut->before + number * LANES;
    for (int lane = 0; lane < LANES; lane++)
        if (number == -2 ? lane >= cut->before : lane < LANES - cut->behind)
            (*mask)[lane] = 0;
    return number == -2 ? 0 : cut->length - LANES;
}

#define FOR_EACH_VECTOR(cut)                                                                       \
    for (int64_t number = -2, i; number < (cut).whole; number++)                                   \
        if ((number != -2 || (cut).before) && (number != -1 || (cut).behind) &&                    \
            (i = NAME(start_of)(&(cut), number, &mask)) >= 0)

INLINE TARGET void NAME(weights_of_row)(const Run *run, int64_t row, NAME(floats) * weights,
                                        int count) {
    const float *of_row = run->weights + row * count;
    for (int j = 0; j < count; j++)
        weights[j] = (NAME(floats)){0} + of_row[run->reversed ? count - 1 - j : j];
}

/* NCHW: rows are channels, each with its own weights. Vectors go on over the ends of rows; one that
   meets two of them has the weights of both. */
INLINE TARGET void NAME(filter_rows)(const Run *run, int count, int half) {
    NAME(Cut) cut = NAME(cut)(run->target.data, run->rows * run->length, half);
    NAME(words) mask;
    NAME(floats) weights[MOST_UNROLLED] = {{0}}, next[MOST_UNROLLED];
    int64_t begin = 0, end = 0; /* of the row that the weights are of */
    FOR_EACH_VECTOR(cut) {
        if (i < begin || i >= end) {
            begin = i / run->length * run->length, end = begin + run->length;
            NAME(weights_of_row)(run, begin / run->length, weights, count);
        }
        if (end - i < LANES) {
            NAME(weights_of_row)(run, end / run->length, next, count);
            for (int lane = 0; lane < LANES; lane++)
                mask[lane] = lane < end - i ? ~(uint32_t)0 : 0;
            for (int j = 0; j < count; j++)
                weights[j] = (NAME(floats))(((NAME(words))weights[j] & mask) |
                                            ((NAME(words))next[j] & ~mask));
            end = begin; /* of no one row */
        }
        NAME(filter_frames)(run, weights, i, count, half);
    }
}

/* NCHW, with the sums of each row. */
INLINE TARGET void NAME(channels)(const Run *run, int count, int half) {
    if (!run->sums) {
        NAME(filter_rows)(run, count, half);
        return;
    }
    for (int64_t row = 0; row < run->rows; row++) {
        int64_t start = row * run->row_stride;
        NAME(words) mask;
        const char *data = run->target.data ? run->target.data : run->x.data;
        NAME(Cut) cut = NAME(cut)(data + start * (half ? 2 : 4), run->length, half);
        if (run->target.data) {
            NAME(floats) weights[MOST_UNROLLED];
            NAME(weights_of_row)(run, row, weights, count);
            FOR_EACH_VECTOR(cut)
                NAME(filter_frames)(run, weights, start + i, count, half);
        }
        NAME(floats) sums[MOST_UNROLLED] = {{0}};
        FOR_EACH_VECTOR(cut)
            NAME(dot_vector)(run, sums, mask, start + i, count, half);
        for (int j = 0; j < count; j++)
            for (int lane = 0; lane < LANES; lane++)
                run->sums[row * count + j] += sums[j][lane];
    }
}

/* Channels-last: a row is the channels of a group, each number with its own weights. */
INLINE TARGET void NAME(position)(const Run *run, int count, int half) {
    NAME(words) mask;
    const char *data = run->target.data ? run->target.data : run->x.data;
    NAME(Cut) cut = NAME(cut)(data, run->length, half);
    FOR_EACH_VECTOR(cut) {
        if (run->target.data) {
            NAME(floats) weights[MOST_UNROLLED];
            for (int j = 0; j < count; j++) {
                int64_t tap = run->reversed ? count - 1 - j : j;
                weights[j] = NAME(load)((const char *)(run->weights + tap * run->length), i, 0);
            }
            NAME(filter_frames)(run, weights, i, count, half);
        }
        if (run->sums) {
            NAME(floats) sums[MOST_UNROLLED] = {{0}};
            NAME(dot_vector)(run, sums, mask, i, count, half);
            for (int j = 0; j < count; j++)
                NAME(add_to)(run->sums + j * run->length + i, sums[j]);
        }
    }
}

/* Numbers of taps that are common are compiled one by one, so that their weights and frames stay in
   registers. */
#define LOOPS(count)                                                                               \
    TARGET static void NAME(channels_float_##count)(const Run *run) {                              \
        NAME(channels)(run, count, 0);                                                             \
    }                                                                                              \
    TARGET static void NAME(channels_half_##count)(const Run *run) {                               \
        NAME(channels)(run, count, 1);                                                             \
    }                                                                                              \
    TARGET static void NAME(position_float_##count)(const Run *run) {                              \
        NAME(position)(run, count, 0);                                                             \
    }                                                                                              \
    TARGET static void NAME(position_half_##count)(const Run *run) {                               \
        NAME(position)(run, count, 1);                                                             \
    }
LOOPS(1)
LOOPS(3)
LOOPS(5)
LOOPS(7)
LOOPS(9)
#undef LOOPS

#undef FOR_EACH_VECTOR

#define TABLE(kind)                                                                                \
    {NAME(kind##_1), NAME(kind##_3), NAME(kind##_5), NAME(kind##_7), NAME(kind##_9)}
static const Loops NAME(loops) = {
    LANES, {{TABLE(channels_float), TABLE(channels_half)},
            {TABLE(position_float), TABLE(position_half)}}};
#undef TABLE
