/* The job of a temporal filter, the tiles that it is cut into, and the fallback that computes a tile
   number by number. */

/* Clips (B, T, frame); strides in numbers, the frames themselves are dense. */
typedef struct {
    char *data;
    int64_t clip_stride, frame_stride;
} Clips;

typedef struct {
    Clips source, target; /* target = filtered source, unless target.data is null */
    Clips x, grad;        /* inputs of the gradient of the taps, unless sums is null */
    int64_t direction;    /* 1: frames at t + offset are met, -1: at t - offset */
    const float *taps;    /* a group's are (channels, taps); (taps, channels) in channels-last */
    int64_t num_clips, num_frames, num_channels, num_positions;
    int64_t num_groups;
    const int64_t *channels, *num_taps, *offsets; /* by group; the offsets of all, one by one */
    int64_t channels_last, half; /* layout and precision: bfloat16 instead of float32 */
    int64_t machine;             /* number of the instruction set; see mixtconv_instruction_set */
    /* Set by the library: */
    double *sums;         /* gradient of the taps; one row of them a strip in channels-last */
    int64_t num_weights;  /* in all groups */
    int64_t num_strips;   /* pieces of work, distributed over the threads */
    int64_t length, rows; /* upper limits of a tile; see Run */
    int64_t streamed;     /* whether the target, of float32, is stored past the caches */
} Job;

/* All frames of a clip, from a place in them on. */
typedef struct {
    char *data;
    int64_t bytes; /* from a frame to the next */
} Frames;

/* A tile: rows of `length` numbers in all frames. In NCHW a row is positions of a channel, and a tile
   has `rows` of them; in channels-last it is the channels of a group at one position. */
typedef struct {
    Frames source, target, x, grad;
    int64_t num_frames, length, rows, row_stride;
    const int64_t *offsets;
    int64_t num_taps, first, step; /* tap j is at first + j * step; step 0 if not evenly spaced */
    int64_t source_first;          /* `first` of what is filtered, whose offsets may be negated */
    int streamed;                  /* see Job */
    int reversed;                  /* whether the weights are then in reverse order */
    const float *weights;          /* of the first row */
    double *sums;
} Run;

/* The loops of one instruction set, by layout, precision and half the number of taps. */
typedef void (*Loop)(const Run *run);
typedef struct {
    int64_t lanes;
    Loop by_layout[2][2][(MOST_UNROLLED + 1) / 2];
} Loops;

/* Whether the target is stored past the caches. It then is larger than those of a core, which would
   hold little of it when it is read; and nearly all of its cache lines are written whole, by one
   vector: in NCHW vectors go over the ends of rows, unless these have sums of their own, and in
   channels-last a group's channels are lines. Vectors that are not aligned are stored as ever. */
INLINE int64_t is_streamed(const Job *job, int has_sums) {
    enum { CACHES_OF_A_CORE = 1 << 22, LINE = 64 };
    int64_t numbers = job->num_clips * job->num_frames * job->num_channels * job->num_positions;
    if (!job->target.data || job->half || 4 * numbers < CACHES_OF_A_CORE ||
        4 * job->target.frame_stride % LINE)
        return 0;
    if (!job->channels_last)
        return !has_sums || 4 * job->num_positions % LINE == 0;
    if (has_sums) /* of every position, whose own stores get in the way */
        return 0;
    for (int64_t m = 0; m < job->num_groups; m++)
        if (4 * job->channels[m] % LINE)
            return 0;
    return 1;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE Frames frames_at(const Clips *clips, int64_t clip, int64_t at, int half) {
    int64_t size = half ? 2 : 4;
    Frames frames = {clips->data ? clips->data + size * (clip * clips->clip_stride + at) : NULL,
                     size * clips->frame_stride};
    return frames;
}

/* Evenly spaced taps, ascending or descending, are visited in ascending order. */
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
    if (step < 0 && !job->sums) { /* a filter alone may visit its taps in reverse order */
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
               .streamed = (int)job->streamed,
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
    Frames *all[] = {&run->source, &run->target, &run->x, &run->grad};
    for (int i = 0; i < 4; i++)
        if (all[i]->data)
            all[i]->data += bytes;
}

/* NCHW: the channels from `channel` on that are in its group and before `last`, from position `at`
   on. */
INLINE Run run_of_channels(const Job *job, int64_t clip, int64_t channel, int64_t last, int64_t at,
                           int half) {
    int64_t group = 0, end = job->channels[0];
    while (channel >= end)
        end += job->channels[++group];
    Run run = run_of_group(job, clip, 0, group, 0, half);
    int64_t first = end - job->channels[group]; /* also where the run is at, as in channels-last */
    int64_t weight = (channel - first) * run.num_taps;
    at += channel * job->num_positions;
    step_forward(&run, (at - first) * (half ? 2 : 4));
    run.length = least(job->length, (channel + 1) * job->num_positions - at);
    run.rows = least(end, last) - channel;
    run.row_stride = job->num_positions;
    run.weights += weight;
    run.sums = run.sums ? run.sums + weight : NULL;
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
                int64_t weight = job->channels_last ? start : row * run->num_taps;
                int64_t next = job->channels_last ? 1 : 0; /* from a number's weight to the next */
                float sums[PIECE] = {0};
                for (int64_t j = 0; j < run->num_taps && run->target.data; j++) {
                    int64_t frame = t + job->direction * run->offsets[j];
                    if (frame < 0 || frame >= run->num_frames)
                        continue;
                    const char *source = run->source.data + frame * run->source.bytes + at;
                    for (int64_t i = 0; i < width; i++)
                        sums[i] += run->weights[weight + j * tap_stride + i * next] *
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
                        run->sums[weight + j * tap_stride + i * next] +=
                            (double)load_one(grad, i, half) * load_one(x, i, half);
                }
            }
}
