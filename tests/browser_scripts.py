"""What the browser tests ask a page, as JavaScript."""

HAS_FOCUS = """() => {
    const own = document.activeElement;
    return own === document.body ? null : own.id || own.getAttribute("href") || own.className + own.textContent;
}"""
"""What has the focus, by a name; null once the walk has left the page."""
SHOWS_FOCUS = """() => {
    const own = document.activeElement, box = own.getBoundingClientRect(), style = getComputedStyle(own);
    return box.width > 0 && box.left >= 0 && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""
"""Whether it is on the page and has an outline."""
FOCUSABLE = """() => [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")]
    .filter((own) => !own.disabled && own.checkVisibility() && own.getClientRects().length)
    .map((own) => own.id || own.getAttribute("href") || own.className + own.textContent)"""
"""Everything that takes the focus, by the same names."""
PIXELS = """() => {
    const canvas = document.getElementById("overlay");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const found = [];
    for (let y = 0; y <= 8; y++) for (let x = 0; x <= 8; x++) {
        const at = [[x, canvas.width], [y, canvas.height]].map(([i, n]) => Math.min(n - 1, Math.round((i * n) / 8)));
        const start = 4 * (at[1] * canvas.width + at[0]);
        found.push([x, y, [...data.slice(start, start + 4)]]);
    }
    return found;
}"""
"""The canvas of an image of 4 x 4 patches: x and y in halves of a patch and the colour there."""
CONTRAST = """() => {
    const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
    const over = ([r, g, b, a = 1], ground) => [r, g, b].map((own, i) => own * a + ground[i] * (1 - a));
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((own) => (own / 255 <= 0.03928 ? own / 255 / 12.92 : ((own / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        const layers = [];
        for (let own = node; own; own = own.parentElement) layers.push(parsed(getComputedStyle(own).backgroundColor));
        return layers.reverse().reduce((below, own) => over(own, below), [255, 255, 255]);
    };
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    };
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const own = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !own.checkVisibility() || own.closest("noscript, option, .skip")) continue;
        const isChart = own.closest("svg");
        // Words in the cells of a heatmap stand on a colour of the chart, not of the page.
        if (isChart && own.closest(".mark-text.role-mark")) continue;
        const behind = ground(isChart ? own.closest("div") : own);
        const style = getComputedStyle(own);
        const words = walk.currentNode.data.trim().slice(0, 40);
        found.push([ratio(over(parsed(isChart ? style.fill : style.color), behind), behind), `${own.tagName}: ${words}`]);
    }
    return found.sort((a, b) => a[0] - b[0]);
}"""
"""[contrast, text] of every text that is shown, by its colour and those of the grounds that it lies on, the least first."""
