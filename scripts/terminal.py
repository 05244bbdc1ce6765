"""Terminals for recordings: drives programs in tmux, and draws what they show as text and as SVG."""

import html
import re
import subprocess
import time
import unicodedata

WAIT_S = 30


class Terminal:
    """A program in a tmux pane of its own server, so that nobody's sessions are touched."""

    SOCKET = "hudhud-record"

    def __init__(self, name, command, columns, rows, env):
        self.name, self.columns, self.rows = name, columns, rows
        assignments = [f"{key}={value}" for key, value in env.items()]
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", name, *size, "env", *assignments, *command)
        self._tmux("set-option", "-t", name, "status", "off")

    def _tmux(self, *arguments):
        command = ["tmux", "-L", self.SOCKET, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def keys(self, *keys):
        """Presses keys, by tmux's names (`Enter`, `C-n`)."""
        self._tmux("send-keys", "-t", self.name, *keys)

    def type(self, text):
        """Types a line."""
        self._tmux("send-keys", "-t", self.name, "-l", text)

    def screen(self, colours=False):
        """What is shown, a string per row; with SGR sequences if `colours`."""
        flags = ["-p", "-e"] if colours else ["-p"]
        text = self._tmux("capture-pane", "-t", self.name, *flags)
        rows = text.split("\n")[: self.rows]
        return rows + [""] * (self.rows - len(rows))

    def wait_for(self, wanted, what=None):
        """Waits until the screen holds a text, or until a function of the whole screen is true."""
        holds = wanted if callable(wanted) else lambda screen: wanted in screen
        deadline = time.monotonic() + WAIT_S
        while not holds("\n".join(self.screen())):
            if time.monotonic() > deadline:
                shown = "\n".join(self.screen())
                raise TimeoutError(f"{self.name} never showed {what or wanted!r}. It shows:\n{shown}")
            time.sleep(0.05)

    def close(self):
        """Ends the program."""
        subprocess.run(["tmux", "-L", self.SOCKET, "kill-session", "-t", self.name], check=False, capture_output=True)


# One Dark, readable on light and dark pages alike.
BACKGROUND, FOREGROUND = "#1e222a", "#c8ccd4"
PALETTE = [
    "#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf",
    "#6b7280", "#ff7b86", "#b5e890", "#ffd68a", "#82c4ff", "#dd9bf0", "#7fd6e2", "#ffffff",
]
LEVELS = (0, 95, 135, 175, 215, 255)


def colour(code):
    """One of the 256 colours."""
    if code < 16:
        return PALETTE[code]
    if code >= 232:
        grey = 8 + 10 * (code - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    code -= 16
    return "#%02x%02x%02x" % (LEVELS[code // 36], LEVELS[code // 6 % 6], LEVELS[code % 6])


class Style:
    """How a cell is drawn: the state that SGR sequences change."""

    def __init__(self):
        self.fg = self.bg = None
        self.bold = self.dim = self.italic = self.underline = self.reverse = False

    def apply(self, parameters):
        codes = [int(code or 0) for code in re.split("[;:]", parameters)]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code in (38, 48):
                kind = codes.pop(0)
                value = colour(codes.pop(0)) if kind == 5 else "#%02x%02x%02x" % tuple(codes.pop(0) for _ in range(3))
                setattr(self, "fg" if code == 38 else "bg", value)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.fg = PALETTE[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.bg = PALETTE[code - 40 if code < 100 else code - 92]
            elif code == 39:
                self.fg = None
            elif code == 49:
                self.bg = None
            elif code == 22:
                self.bold = self.dim = False
            else:
                names = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse"}
                if code in names:
                    setattr(self, names[code], True)
                elif code - 20 in names:
                    setattr(self, names[code - 20], False)

    def svg(self):
        """The attributes of the text, and the colour behind it if it has one of its own."""
        fg, bg = self.fg or FOREGROUND, self.bg
        if self.reverse:
            fg, bg = bg or BACKGROUND, fg
        attributes = [f'fill="{fg}"']
        attributes += ['font-weight="bold"'] * self.bold + ['font-style="italic"'] * self.italic
        attributes += ['opacity="0.6"'] * self.dim + ['text-decoration="underline"'] * self.underline
        return " ".join(attributes), bg


def width(character):
    """How many columns a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def runs(row):
    """A row with SGR sequences, as (column, text, attributes, background) where the style changes."""
    style, column = Style(), 0
    parts = re.split("\x1b\\[([0-9;:]*)m", row)
    for index, part in enumerate(parts):
        if index % 2:
            style.apply(part)
        elif part:
            attributes, background = style.svg()
            yield column, part, attributes, background
            column += sum(map(width, part))


CELL_W, CELL_H, FONT = 8.4, 18, 14
PAD, TITLE_H, CAPTION_H = 10, 26, 34


def window(title, rows, columns, x, y):
    """A terminal's window in SVG, its upper left corner there."""
    w, h = columns * CELL_W + 2 * PAD, len(rows) * CELL_H + TITLE_H + PAD
    out = [f'<g transform="translate({x:.1f} {y})"><rect width="{w:.1f}" height="{h}" rx="8" fill="{BACKGROUND}"/>']
    out.append(f'<text x="{PAD}" y="18" fill="#8b93a1" font-weight="bold">{html.escape(title)}</text>')
    for number, row in enumerate(rows):
        top = TITLE_H + number * CELL_H
        for column, text, attributes, background in runs(row):
            left, w = PAD + column * CELL_W, sum(map(width, text)) * CELL_W
            if background:
                out.append(f'<rect x="{left:.1f}" y="{top}" width="{w:.1f}" height="{CELL_H}" fill="{background}"/>')
            if text.strip():
                lead = len(text) - len(text.lstrip(" "))
                left, text = left + lead * CELL_W, text.strip(" ")
                w = sum(map(width, text)) * CELL_W
                out.append(
                    f'<text x="{left:.1f}" y="{top + 14}" textLength="{w:.1f}" {attributes}>{html.escape(text)}</text>'
                )
    out.append("</g>")
    return "".join(out)


def storyboard(scenes, seconds):
    """An SVG that shows scenes one after another: (caption, [(title, rows, columns)…])."""
    total = seconds * len(scenes)
    share = 100 / len(scenes)
    frames, w_max, h_max = [], 0, 0
    for number, (caption, windows) in enumerate(scenes):
        x, body = 0, []
        for title, rows, columns in windows:
            body.append(window(title, rows, columns, x, CAPTION_H))
            x += columns * CELL_W + 3 * PAD
            h_max = max(h_max, len(rows) * CELL_H + TITLE_H + PAD + CAPTION_H)
        w_max = max(w_max, x - PAD)
        text = f"{number + 1}/{len(scenes)}  {html.escape(caption)}"
        label = f'<rect width="100%" height="{CAPTION_H - 8}" rx="6" fill="#2f6f4f"/>'
        label += f'<text x="{PAD}" y="18" fill="#fff">{text}</text>'
        frames.append(f'<g class="s" style="animation-delay:{number * seconds}s">{label}{"".join(body)}</g>')
    # Without animation the first scene shows.
    style = (
        "text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"font-size:{FONT}px;white-space:pre}}"
        f"@keyframes k{{0%{{opacity:1}}{share:.3f}%{{opacity:0}}100%{{opacity:0}}}}"
        f".s{{opacity:0;animation:k {total}s step-end infinite}}.s:first-of-type{{opacity:1}}"
    )
    size = f'viewBox="0 0 {w_max:.0f} {h_max:.0f}" width="{w_max:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} xml:space="preserve">'
    return f"{head}<style>{style}</style>{''.join(frames)}</svg>\n"


def side_by_side(windows):
    """The same windows as text."""
    edges = ["─" * columns for _, _, columns in windows]
    tops = [f"─ {title} ".ljust(columns, "─") for title, _, columns in windows]
    lines = ["┌" + "┬".join(tops) + "┐"]
    for row in zip(*(rows for _, rows, _ in windows)):
        cells = []
        for text, (_, _, columns) in zip(row, windows):
            text = re.sub("\x1b\\[[0-9;:]*m", "", text)
            cells.append(text + " " * (columns - sum(map(width, text))))
        lines.append("│" + "│".join(cells) + "│")
    lines.append("└" + "┴".join(edges) + "┘")
    return "\n".join(lines)
