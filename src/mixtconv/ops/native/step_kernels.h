/* The loop of one frame of a stream for one instruction set; included as kernels.h is, after it. */

INLINE void NAME(step)(const StepRow *row, int count, int along) {
    int64_t length = row->length, i = 0;
    NAME(floats) weights[MOST_UNROLLED];
    for (int j = 0; j < count && !along; j++)
        weights[j] = (NAME(floats)){0} + row->weights[j];
    for (; i + LANES <= length; i += LANES) {
        NAME(floats) sum = {0};
        for (int j = 0; j < count; j++) {
            __builtin_prefetch(row->met[j] + i + PREFETCH_BYTES / 2);
            if (along)
                weights[j] = NAME(load)((const char *)(row->weights + j * length), i, 0);
            sum += weights[j] * NAME(load)((const char *)row->met[j], i, 0);
        }
        NAME(store)((char *)row->target, i, sum, 0);
        if (row->oldest)
            NAME(store)((char *)row->oldest, i, NAME(load)((const char *)row->source, i, 0), 0);
    }
    if (LANES > 4) /* what is left of a row of few channels is most of it */
        for (; i + 4 <= length; i += 4) {
            floats_basic sum = {0}, own;
            for (int j = 0; j < count; j++) {
                floats_basic weight = along ? load_basic((const char *)(row->weights + j * length), i, 0)
                                            : (floats_basic){0} + row->weights[j];
                sum += weight * load_basic((const char *)row->met[j], i, 0);
            }
            own = load_basic((const char *)row->source, i, 0);
            store_basic((char *)row->target, i, sum, 0);
            if (row->oldest)
                store_basic((char *)row->oldest, i, own, 0);
        }
    for (; i < length; i++) {
        float sum = 0;
        for (int j = 0; j < count; j++)
            sum += row->weights[along ? j * length + i : j] * row->met[j][i];
        row->target[i] = sum;
        if (row->oldest)
            row->oldest[i] = row->source[i];
    }
}

#define STEP(count)                                                                                \
    TARGET static void NAME(step_##count)(const StepRow *row) {                                    \
        if (row->along)                                                                            \
            NAME(step)(row, count, 1);                                                             \
        else                                                                                       \
            NAME(step)(row, count, 0);                                                             \
    }
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)
STEP(7)
STEP(8)
STEP(9)
#undef STEP

static const StepLoop NAME(steps)[MOST_UNROLLED] = {
    NAME(step_1), NAME(step_2), NAME(step_3), NAME(step_4), NAME(step_5),
    NAME(step_6), NAME(step_7), NAME(step_8), NAME(step_9)};
