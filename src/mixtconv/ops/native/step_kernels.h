/* The loop of one frame of a stream for one instruction set; included as kernels.h is, after it. */

/* The first `some` numbers of a vector, fewer than LANES or all; the others are zeros. */
INLINE TARGET NAME(floats) NAME(load_some)(const float *row, int64_t some) {
#if LANES == 16
    return (NAME(floats))_mm512_maskz_loadu_ps((__mmask16)((1u << some) - 1), row);
#elif LANES == 8
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)some), lanes);
    return (NAME(floats))_mm256_maskload_ps(row, mask);
#else
    NAME(floats) value = {0};
    for (int64_t i = 0; i < some; i++)
        value[i] = row[i];
    return value;
#endif
}

INLINE TARGET void NAME(store_some)(float *row, NAME(floats) value, int64_t some) {
#if LANES == 16
    _mm512_mask_storeu_ps(row, (__mmask16)((1u << some) - 1), (__m512)value);
#elif LANES == 8
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)some), lanes);
    _mm256_maskstore_ps(row, mask, (__m256)value);
#else
    for (int64_t i = 0; i < some; i++)
        row[i] = value[i];
#endif
}

INLINE TARGET NAME(floats) NAME(load_row)(const float *row, int64_t some) {
    NAME(floats) value;
    if (some < LANES)
        return NAME(load_some)(row, some);
    memcpy(&value, row, sizeof value);
    return value;
}

INLINE TARGET void NAME(store_row)(float *row, NAME(floats) value, int64_t some) {
    if (some < LANES)
        NAME(store_some)(row, value, some);
    else
        memcpy(row, &value, sizeof value);
}

/* Non-temporal stores, if the processor has them. All cores read the result next, and their caches
   still hold its lines from the frame before: to invalidate them takes longer than to go through
   memory, most of all between cores that share no cache. `step_strips` ends with a fence. */
INLINE TARGET void NAME(stream_row)(float *row, NAME(floats) value, int64_t some) {
#if defined(__x86_64__)
    if (some == LANES && (uintptr_t)row % sizeof value == 0) {
        NAME(stream)(row, value);
        return;
    }
#endif
    NAME(store_row)(row, value, some);
}

INLINE TARGET void NAME(weights_at)(const StepRows *rows, const float *from, int64_t i, int64_t some,
                                    NAME(floats) * weights, int count, int along) {
    for (int j = 0; j < count + rows->meets_new; j++)
        weights[j] = along ? NAME(load_row)(from + j * rows->length + i, some)
                           : (NAME(floats)){0} + from[j];
}

/* A vector, or the first `some` of one, from `at` on in the frame and `past` in those of the ring. */
INLINE TARGET void NAME(step_vector)(const StepRows *rows, int64_t at, int64_t past, int64_t some,
                                     const NAME(floats) * weights, int count) {
    NAME(floats) newest = NAME(load_row)(rows->source + at, some), sum = {0};
    for (int j = 0; j < count; j++) {
        /* not worth caching: the next use is a frame later, after the rest of the network */
        __builtin_prefetch(rows->past[j] + past + PREFETCH_BYTES / sizeof(float), 0, 0);
        sum += weights[j] * NAME(load_row)(rows->past[j] + past, some);
    }
    if (rows->meets_new)
        sum += weights[count] * newest;
    NAME(stream_row)(rows->target + at, sum, some);
    if (count)
        NAME(store_row)(rows->oldest + past, newest, some);
}

INLINE TARGET void NAME(step)(const StepRows *first, int count, int along, int meets_new) {
    StepRows rows = *first;
    int64_t at = 0, past = 0, length = rows.length, left = length % LANES;
    NAME(floats) weights[MOST_UNROLLED];
    rows.meets_new = meets_new;
    if (along && length <= LANES) { /* the weights of all rows stay in registers */
        NAME(weights_at)(&rows, rows.weights, 0, length, weights, count, along);
        for (int64_t row = 0; row < rows.num_rows; row++) {
            NAME(step_vector)(&rows, at, past, length, weights, count);
            at += rows.row_step, past += rows.past_row_step;
        }
        return;
    }
    for (int64_t row = 0; row < rows.num_rows; row++) {
        for (int64_t i = 0; i + LANES <= length; i += LANES) {
            NAME(weights_at)(&rows, rows.weights, i, LANES, weights, count, along);
            NAME(step_vector)(&rows, at + i, past + i, LANES, weights, count);
        }
        if (left) {
            int64_t i = length - left;
            NAME(weights_at)(&rows, rows.weights, i, left, weights, count, along);
            NAME(step_vector)(&rows, at + i, past + i, left, weights, count);
        }
        at += rows.row_step, past += rows.past_row_step, rows.weights += rows.weight_row_step;
    }
}

#define STEP(count)                                                                                \
    TARGET static void NAME(step_##count)(const StepRows *rows) {                                  \
        if (rows->along && rows->meets_new)                                                        \
            NAME(step)(rows, count, 1, 1);                                                         \
        else if (rows->along)                                                                      \
            NAME(step)(rows, count, 1, 0);                                                         \
        else if (rows->meets_new)                                                                  \
            NAME(step)(rows, count, 0, 1);                                                         \
        else                                                                                       \
            NAME(step)(rows, count, 0, 0);                                                         \
    }
STEP(0)
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)
STEP(7)
STEP(8)
#undef STEP

static const StepLoop NAME(steps)[MOST_LAGS + 1] = {
    NAME(step_0), NAME(step_1), NAME(step_2), NAME(step_3), NAME(step_4),
    NAME(step_5), NAME(step_6), NAME(step_7), NAME(step_8)};
