"""The cells again, in plain NumPy: what every method must agree with.

One example and one step at a time, in float64, written from the equations and from nothing in jaxrnn.

    elman          h' = tanh(x W_x + h W_h + b)                   Elman 1990, in the article's form
    elman_sigmoid  h' = s(x W_x + h W_h + b)                      Elman 1990; Mikolov 2010
    lstm           no peepholes                                   Hochreiter 1997, with f from Gers 2000
    lstm_diagonal  a unit's gates see its own cell state          Gers 2002; Graves 2013, equations 7-11
    lstm_full      a unit's gates see every unit's cell state     the article
    gru            r after the product with W_hn                  cuDNN, PyTorch, Keras (reset_after)
    gru_before     r before the product with W_hn                 Cho 2014, equations 5-8
    gru_article    r on x's share of n, 1 - z on h's              the article
    irnn           the rectified Elman                            Le 2015
    mgu, indrnn    one gate; a vector for W_h                     Zhou 2016; Li 2018
    *_projected    products with the past see a narrow h          Sak 2014; Cheng 2018
    *_layernorm    the sums of x and of h normed apart            Ba 2016
    lstm_nig ...   the vanilla LSTM with one change               Greff 2017
    slstm          exponential gates, stabilised                  Beck 2024
    lstm97         no forget gate, blocks, gates that see gates   Hochreiter 1997
    lstm2000       blocks, with a forget gate each                Gers 2000

x is [n_in], h and c are [n]; vectors are rows, so the products read x @ W. A step is
`step(p, carry, x) -> (carry, y)` with carry (h,) or (h, c) or what the cell's own text says, and y is h. Gates lie side
by side in the weights, in the order i, f, g, o for the LSTMs and r, z, n for the GRUs.

The article is the text the library sets out from. The others:

    Elman 1990         Finding structure in time
    Hochreiter 1997    and Schmidhuber: Long short-term memory
    Gers 2000          Schmidhuber and Cummins: Learning to forget
    Gers 2002          Schraudolph and Schmidhuber: Learning precise timing with LSTM recurrent networks
    Graves 2013        Generating sequences with recurrent neural networks, arXiv:1308.0850
    Mikolov 2010       et al.: Recurrent neural network based language model
    Cho 2014           et al.: Learning phrase representations using RNN encoder-decoder, arXiv:1406.1078
    Le 2015            Jaitly and Hinton: A simple way to initialize recurrent networks of rectified linear units
    Zhou 2016          et al.: Minimal gated unit for recurrent neural networks
    Li 2018            et al.: Independently recurrent neural network (IndRNN)
    Sak 2014           Senior and Beaufays: LSTM RNN architectures for large scale acoustic modeling
    Cheng 2018         et al.: Output-gate projected gated recurrent unit for speech recognition
    Ba 2016            Kiros and Hinton: Layer normalization
    Greff 2017         et al.: LSTM: a search space odyssey
    Beck 2024          et al.: xLSTM: Extended long short-term memory
"""

import itertools

import numpy as np


def s(a):
    """The logistic sigmoid 1 / (1 + exp(-a)), as the tanh it equals, because exp overflows at a = -710."""
    return (1 + np.tanh(a / 2)) / 2


def elman(p, carry, x, act=np.tanh):
    """h' = act(x W_x + h W_h + b), act the tanh of the article or the s of Elman 1990."""
    (h,) = carry
    h = act(x @ p.w_x + h @ p.w_h + p.b)
    return (h,), h


def elman_sigmoid(p, carry, x):
    return elman(p, carry, x, s)


def _lstm(p, carry, x, w_ci, w_cf, w_co):
    """The LSTM: W_ci and W_cf [n, n] on the old c, W_co on the new one; Graves 2013, equations 7-11."""
    h, c = carry
    a_i, a_f, a_g, a_o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4)
    i = s(a_i + c @ w_ci)
    f = s(a_f + c @ w_cf)
    g = np.tanh(a_g)
    c = f * c + i * g
    o = s(a_o + c @ w_co)
    h = o * np.tanh(c)
    return (h, c), h


def lstm(p, carry, x):
    """No peepholes; Hochreiter 1997, with the forget gate of Gers 2000."""
    n = len(p.w_h)
    none = np.zeros((n, n))
    return _lstm(p, carry, x, none, none, none)


def lstm_diagonal(p, carry, x):
    """Peepholes [n]: the matrices are diagonal; Gers 2002, Graves 2013."""
    return _lstm(p, carry, x, np.diag(p.peepholes.i), np.diag(p.peepholes.f), np.diag(p.peepholes.o))


def lstm_full(p, carry, x):
    """Peepholes [n, n]: the article's W_ci, W_cf and W_co."""
    return _lstm(p, carry, x, p.peepholes.i, p.peepholes.f, p.peepholes.o)


def _reset_and_update(p, h, x):
    """r = s(x W_xr + h W_hr + b_r) and z = s(x W_xz + h W_hz + b_z), the same in every form of the GRU."""
    a_r, a_z, _ = np.split(x @ p.w_x + h @ p.w_h + p.b, 3)
    return s(a_r), s(a_z)


def _candidate(p):
    """W_xn [n_in, n], W_hn [n, n] and b's block [n]: the last of the GRU's three."""
    return [np.split(w, 3, axis=-1)[2] for w in (p.w_x, p.w_h, p.b)]


def gru(p, carry, x):
    """n = tanh(x W_xn + b + r (h W_hn + b_n)), h' = (1 - z) n + z h; cuDNN, PyTorch, Keras (reset_after)."""
    (h,) = carry
    r, z = _reset_and_update(p, h, x)
    w_xn, w_hn, b = _candidate(p)
    n = np.tanh(x @ w_xn + b + r * (h @ w_hn + p.b_n))
    h = (1 - z) * n + z * h
    return (h,), h


def gru_before(p, carry, x):
    """n = tanh(x W_xn + (r h) W_hn + b_n), h' = z h + (1 - z) n; Cho 2014, equations 5-8, with biases."""
    (h,) = carry
    r, z = _reset_and_update(p, h, x)
    w_xn, w_hn, b_n = _candidate(p)
    n = np.tanh(x @ w_xn + (r * h) @ w_hn + b_n)
    h = z * h + (1 - z) * n
    return (h,), h


def gru_article(p, carry, x):
    """n = tanh((x W_xn) r + (h W_hn) (1 - z) + b_n), h' = (1 - z) h + z n; the article."""
    (h,) = carry
    r, z = _reset_and_update(p, h, x)
    w_xn, w_hn, b_n = _candidate(p)
    n = np.tanh((x @ w_xn) * r + (h @ w_hn) * (1 - z) + b_n)
    h = (1 - z) * h + z * n
    return (h,), h


def g(a):
    """minGRU's activation: a + 1/2 from 0 on, the sigmoid below; Feng 2024, appendix B."""
    return np.where(a >= 0, a + 0.5, s(a))


def mingru(p, carry, x):
    """z = s(x W_z + b_z), n = g(x W_n + b_n), h' = (1 - z) h + z n; Feng 2024, section 3.1."""
    (h,) = carry
    z, n = np.split(x @ p.w_x + p.b, 2)
    h = (1 - s(z)) * h + s(z) * g(n)
    return (h,), h


def minlstm(p, carry, x):
    """h' = f/(f + i) h + i/(f + i) n; Feng 2024, section 3.2."""
    (h,) = carry
    f, i, n = np.split(x @ p.w_x + p.b, 3)
    f, i = s(f), s(i)
    h = f / (f + i) * h + i / (f + i) * g(n)
    return (h,), h


def lru(p, carry, x):
    """h' = lambda h + gamma (x B), y = Re(h' C) + x D, with complex h; Orvieto 2023, section 3.3 and equation 7."""
    h = carry[0] + 1j * carry[1]
    re_b, im_b, d = np.split(p.w_x, 3, axis=1)
    re_c, minus_im_c = np.split(p.w_y, 2)
    decay = np.exp(-np.exp(p.nu) + 1j * np.exp(p.theta))
    h = decay * h + np.exp(p.gamma) * (x @ (re_b + 1j * im_b))
    return (h.real, h.imag), (h @ (re_c - 1j * minus_im_c)).real + x @ d


def rglru(p, carry, x):
    """a = exp(-8 softplus(Lambda) r), h' = a h + sqrt(1 - a^2) (i v), v = x W_v; De 2024, equations 1-4."""
    (h,) = carry
    v = x @ p.w_x
    r, i = np.split(s(v @ p.w_v + p.b), 2)
    a = np.exp(-8 * np.log1p(np.exp(p.decay)) * r)
    h = a * h + np.sqrt(1 - a**2) * i * v
    return (h,), h


def irnn(p, carry, x):
    """h' = max(0, x W_x + h W_h + b); Le 2015."""
    (h,) = carry
    h = np.maximum(0, x @ p.w_x + h @ p.w_h + p.b)
    return (h,), h


def mgu(p, carry, x):
    """n = tanh(x W_xn + (f h) W_hn + b_n), h' = (1 - f) h + f n; Zhou 2016."""
    (h,) = carry
    (w_xf, w_xn), (w_hf, w_hn), (b_f, b_n) = (np.split(w, 2, axis=-1) for w in (p.w_x, p.w_h, p.b))
    f = s(x @ w_xf + h @ w_hf + b_f)
    n = np.tanh(x @ w_xn + (f * h) @ w_hn + b_n)
    h = (1 - f) * h + f * n
    return (h,), h


def mgu_after(p, carry, x):
    """n = tanh(x W_xn + b + f (h W_hn + b_n)), h' = (1 - f) n + f h; Flax's MGUCell."""
    (h,) = carry
    (w_xf, w_xn), (w_hf, w_hn), (b_f, b) = (np.split(w, 2, axis=-1) for w in (p.w_x, p.w_h, p.b))
    f = s(x @ w_xf + h @ w_hf + b_f)
    n = np.tanh(x @ w_xn + b + f * (h @ w_hn + p.b_n))
    h = (1 - f) * n + f * h
    return (h,), h


def indrnn(p, carry, x):
    """h' = max(0, x W_x + u h + b) with a vector u, here w_h; Li 2018."""
    (h,) = carry
    h = np.maximum(0, x @ p.w_x + p.w_h * h + p.b)
    return (h,), h


def lstm_projected(p, carry, x):
    """No peepholes, h' = (o tanh(c')) W_hr; Sak 2014, PyTorch's proj_size."""
    h, c = carry
    a_i, a_f, a_g, a_o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4)
    c = s(a_f) * c + s(a_i) * np.tanh(a_g)
    h = (s(a_o) * np.tanh(c)) @ p.w_hr
    return (h, c), h


def lstm_projected_diagonal(p, carry, x):
    """The same with peepholes [n]; Sak 2014."""
    h, c = carry
    a_i, a_f, a_g, a_o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4)
    i = s(a_i + p.peepholes.i * c)
    f = s(a_f + p.peepholes.f * c)
    c = f * c + i * np.tanh(a_g)
    h = (s(a_o + p.peepholes.o * c) * np.tanh(c)) @ p.w_hr
    return (h, c), h


def gru_projected(p, carry, x):
    """The GRU on a state c [n], of which products see h = c W_p [n_proj]; after Cheng 2018, r after the product."""
    h, c = carry
    r, z = _reset_and_update(p, h, x)
    w_xn, w_hn, b = _candidate(p)
    n = np.tanh(x @ w_xn + b + r * (h @ w_hn + p.b_n))
    c = (1 - z) * n + z * c
    h = c @ p.w_p
    return (h, c), h


def _norm(a):
    """Zero mean and unit variance over the vector, with the usual 1e-5 under the root; Ba 2016."""
    return (a - np.mean(a)) / np.sqrt(np.var(a) + 1e-5)


def lstm_layernorm(p, carry, x):
    """Gates from N(x W_x) gain_x + N(h W_h) gain_h + b, h' = s(o) tanh(N(c') gain_c + b_c); Ba 2016."""
    h, c = carry
    i, f, g, o = np.split(_norm(x @ p.w_x) * p.gain_x + _norm(h @ p.w_h) * p.gain_h + p.b, 4)
    c = s(f) * c + s(i) * np.tanh(g)
    h = s(o) * np.tanh(_norm(c) * p.gain_c + p.b_c)
    return (h, c), h


def gru_layernorm(p, carry, x):
    """r and z are normed together, n apart, r after the product, h' = (1 - z) h + z n; Ba 2016."""
    (h,) = carry
    m = 2 * len(h)
    r_z = _norm(x @ p.w_x[:, :m]) * p.gain_x[:m] + _norm(h @ p.w_h[:, :m]) * p.gain_h[:m] + p.b[:m]
    r, z = np.split(s(r_z), 2)
    past = _norm(h @ p.w_h[:, m:]) * p.gain_h[m:] + p.b_n
    n = np.tanh(_norm(x @ p.w_x[:, m:]) * p.gain_x[m:] + p.b[m:] + r * past)
    h = (1 - z) * h + z * n
    return (h,), h


def _vanilla(p, carry, x, blocks, i=None, f=None, o=None, couple=False, g=np.tanh, out=np.tanh, past=None):
    """Greff 2017's vanilla LSTM with diagonal peepholes; a gate given as a number is no gate.

    `blocks` names what the weights hold, in order; `past` is what FGR adds to each gate. Returns h', c', i, f, o.
    """
    h, c = carry
    a = dict(zip(blocks, np.split(x @ p.w_x + h @ p.w_h + p.b, len(blocks)), strict=True))
    past = past or {"i": 0, "f": 0, "o": 0}
    peep = p.peepholes
    if i is None:
        i = s(a["i"] + past["i"] + (peep.i * c if peep else 0))
    if couple:
        f = 1 - i
    elif f is None:
        f = s(a["f"] + past["f"] + (peep.f * c if peep else 0))
    c = f * c + i * g(a["g"])
    if o is None:
        o = s(a["o"] + past["o"] + (peep.o * c if peep else 0))
    return o * out(c), c, i, f, o


def _variant(blocks, **change):
    """A step of one of Greff's variants, from its change to the vanilla LSTM."""

    def step(p, carry, x):
        h, c, *_ = _vanilla(p, carry, x, blocks, **change)
        return (h, c), h

    return step


def lstm_fgr(p, carry, x):
    """Full gate recurrence: each gate also sees the three gates of the step before; Greff 2017."""
    h, c, *gates = carry
    recurrent = [np.split(rows, 3, axis=1) for rows in np.split(p.w_gates, 3)]  # [from][to] in the order i, f, o
    past = {to: sum(gates[k] @ recurrent[k][j] for k in range(3)) for j, to in enumerate("ifo")}
    carry = _vanilla(p, (h, c), x, "ifgo", past=past)
    return carry, carry[0]


def _slstm(p, carry, x, log):
    """i = exp(a_i), h' = o c' / n', with c and n in units of exp(m); `log` gives log f from a_f; Beck 2024."""
    h, c, n, m = carry
    a_i, a_f, a_z, a_o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4)
    larger = np.maximum(log(a_f) + m, a_i)
    i = np.exp(a_i - larger)
    f = np.exp(log(a_f) + m - larger)
    c = f * c + i * np.tanh(a_z)
    n = f * n + i
    h = s(a_o) * (c / n)
    return (h, c, n, larger), h


def slstm(p, carry, x):
    """f = exp(a_f)."""
    return _slstm(p, carry, x, lambda a: a)


def slstm_sigmoid(p, carry, x):
    """f = s(a_f)."""
    return _slstm(p, carry, x, lambda a: np.log(s(a)))


def lstm97(p, carry, x):
    """No forget gate, blocks of cells, gates that see the gates of the step before; Hochreiter 1997.

    b may belong to all, to the gates or to none; the sums stand in the order input gates, output gates, cells.
    """
    h, c, y_in, y_out = carry
    blocks, cells = len(y_in), len(c)
    net = np.concatenate([x, h, y_in, y_out]) @ np.concatenate([p.w_x, p.w_h, p.w_gates])
    if p.b is not None:
        net[: len(p.b)] += p.b
    y_in, y_out, net_c = s(net[:blocks]), s(net[blocks : 2 * blocks]), net[2 * blocks :]
    c, h = np.array(c), np.zeros(cells)
    for v in range(cells):
        j = v // (cells // blocks)  # the block of cell v
        c[v] += y_in[j] * (4 * s(net_c[v]) - 2)
        h[v] = y_out[j] * (2 * s(c[v]) - 1)
    return (h, c, y_in, y_out), h


def lstm2000(p, carry, x, gates=3):
    """Blocks of cells that share an input, a forget and an output gate; Gers 2000. With two gates, f = 1.

    The sums stand in the order input gates, forget gates, output gates, cells; the gates alone have biases.
    """
    h, c = carry
    blocks, cells = len(p.b) // gates, len(c)
    net = np.concatenate([x, h]) @ np.concatenate([p.w_x, p.w_h])
    y, net_c = s(net[:-cells] + p.b), net[-cells:]
    y_in, y_out, y_forget = y[:blocks], y[-blocks:], y[blocks : 2 * blocks] if gates == 3 else np.ones(blocks)
    c, h = np.array(c), np.zeros(cells)
    for v in range(cells):
        j = v // (cells // blocks)  # the block of cell v
        c[v] = y_forget[j] * c[v] + y_in[j] * (4 * s(net_c[v]) - 2)
        h[v] = y_out[j] * (2 * s(c[v]) - 1)
    return (h, c), h


ORACLES = {
    "elman": elman,
    "elman_sigmoid": elman_sigmoid,
    "lstm": lstm,
    "lstm_diagonal": lstm_diagonal,
    "lstm_full": lstm_full,
    "gru": gru,
    "gru_before": gru_before,
    "gru_article": gru_article,
    "mingru": mingru,
    "minlstm": minlstm,
    "lru": lru,
    "rglru": rglru,
    "irnn": irnn,
    "mgu": mgu,
    "mgu_after": mgu_after,
    "indrnn": indrnn,
    "lstm_projected": lstm_projected,
    "gru_projected": gru_projected,
    "lstm_layernorm": lstm_layernorm,
    "gru_layernorm": gru_layernorm,
    "lstm_nig": _variant("fgo", i=1),
    "lstm_nfg": _variant("igo", f=1),
    "lstm_nog": _variant("ifg", o=1),
    "lstm_niaf": _variant("ifgo", g=lambda a: a),
    "lstm_noaf": _variant("ifgo", out=lambda c: c),
    "lstm_cifg": _variant("igo", couple=True),
    "lstm_np": _variant("ifgo"),
    "lstm_fgr": lstm_fgr,
    "slstm": slstm,
    "slstm_sigmoid": slstm_sigmoid,
    "lstm97": lstm97,
    "lstm2000": lstm2000,
}

# What the parts of a carry begin at, where that is not 0: the m of h, c, n, m is the logarithm of nothing.
STARTS = dict.fromkeys(["slstm", "slstm_sigmoid"], (0, 0, 0, -np.inf))


def dense(p, x):
    """y = x W + b; the article's output layer y_t = W_hy h_t + b_y."""
    return x @ p.w + p.b


def run(step, p, carry, xs, mask=None, reset=None, start=None, reverse=False):
    """Every example, all its steps: xs [T, *batch, n_in], carry ([*batch, n], ...), start (0 or [n], ...)."""
    T, *batch, _ = np.shape(xs)
    xs = np.asarray(xs, np.float64)
    carry = tuple(np.array(c, np.float64) for c in carry)
    mask = np.ones((T, *batch), bool) if mask is None else np.asarray(mask)
    reset = np.zeros((T, *batch), bool) if reset is None else np.asarray(reset)
    start = [0] * len(carry) if start is None else start
    start = tuple(np.broadcast_to(np.asarray(v, np.float64), c.shape[-1:]) for v, c in zip(start, carry, strict=True))
    if reverse:
        carry, ys = run(step, p, carry, xs[::-1], mask[::-1], _read_backwards(reset, mask), start)
        return carry, ys[::-1]
    ys = np.zeros((T, *batch, carry[0].shape[-1]))
    for k in np.ndindex(*batch):
        begin = tuple(c[k] for c in carry)
        end, ys[:, *k] = _run_one(step, p, begin, xs[:, *k], mask[:, *k], reset[:, *k], start)
        for c, c_end in zip(carry, end, strict=True):
            c[k] = c_end
    return carry, ys


def _run_one(step, p, carry, xs, mask, reset, start):
    """One example, xs [T, n_in]: a masked step holds the carry, ignores its reset and gives zero."""
    ys = np.zeros((len(xs), len(carry[0])))
    for t, x in enumerate(xs):
        if mask[t]:
            carry, ys[t] = step(p, start if reset[t] else carry, x)
    return carry, ys


def _read_backwards(reset, mask):
    """reset[t] is the boundary before step t, which a reader from the end meets at the real step it reads after t."""
    turned = np.zeros_like(reset)
    for k in np.ndindex(*reset.shape[1:]):
        real = np.flatnonzero(mask[:, *k])
        for before, t in itertools.pairwise(real):
            turned[before, *k] = reset[t, *k]
    return turned[::-1]
