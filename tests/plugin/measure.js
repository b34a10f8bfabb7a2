// What is measured of a page: colours as they are mixed on the screen. Returns functions to the test.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** Red, green, blue of 0 to 255 and the alpha of 0 to 1 of whatever CSS calls a colour. */
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = "rgba(0, 0, 0, 0)";
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}

const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];

function luminance([r, g, b]) {
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function ratio(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** What is painted at a point by these elements, topmost first. */
function painted(stack) {
  const layers = stack.map((each) => rgba(getComputedStyle(each).backgroundColor)).filter((each) => each[3] > 0);
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
}

const behind = (element) => {
  const stack = [];
  for (let each = element; each; each = each.parentElement) stack.push(each);
  return painted(stack);
};

const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
const named = (element) => `${element.tagName.toLowerCase()} “${(element.getAttribute("aria-label") ?? element.textContent).slice(0, 60)}”`;

function texts(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) if (walker.currentNode.data.trim()) found.push(walker.currentNode);
  return found;
}

/** Let what is fading in be there: a button that was disabled a moment ago is still pale. */
const settle = () => document.getAnimations().filter((each) => each instanceof CSSTransition).forEach((each) => each.finish());

/** Every text on the screen with its contrast, and the contrast that it needs. */
function textContrasts(root) {
  settle();
  const found = [];
  for (const node of texts(root)) {
    const element = node.parentElement;
    if (element.closest(":disabled, option") || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (getComputedStyle(element).clip !== "auto") continue; // for ears alone
    element.scrollIntoView({ block: "center", inline: "center" });
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getClientRects()[0];
    if (!box) continue;
    const stack = document.elementsFromPoint(box.x + Math.min(box.width / 2, 20), box.y + box.height / 2);
    const own = stack.indexOf(element);
    if (own < 0) {
      found.push({ text: node.data.slice(0, 60), covered: true, ratio: 0, needed: 1 });
      continue;
    }
    const style = getComputedStyle(element);
    const below = painted(stack.slice(own));
    const [r, g, b, a] = rgba(style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({ text: node.data.slice(0, 60), colour: style.color, ratio: ratio(over([r, g, b, a * opacity(element)], below), below), needed: large ? 3 : 4.5 });
  }
  return found;
}

/** The border of everything that is filled in, and the parts of pictures, against what is around them. */
function shapeContrasts(root) {
  const fields = [...root.querySelectorAll("input:not([type=checkbox]), select, textarea")].map((each) => [each, getComputedStyle(each).borderTopColor]);
  const bars = [...root.querySelectorAll("svg[role=img] rect")].map((each) => [each, getComputedStyle(each).fill]);
  return [...fields, ...bars].map(([each, colour]) => {
    const below = behind(each.parentElement);
    return { text: named(each), colour, ratio: ratio(over(rgba(colour), below), below), needed: 3 };
  });
}

/** What has the focus, and how well that is seen. */
function focused() {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const below = behind(element.parentElement);
  const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return { name: named(element), colour: style.outlineColor, ratio: seen ? ratio(over(rgba(style.outlineColor), below), below) : 1, element };
}

/** Everything that can be pressed: in the order of the document. */
const pressable = (root) =>
  [...root.querySelectorAll("a, button, input, select, textarea, summary, [tabindex='0'], [onclick]")].filter((each) => !each.disabled && each.checkVisibility());

/** What looks as if it could be pressed and cannot be reached. */
const unreachable = (root) =>
  [...root.querySelectorAll("*")].filter((each) => getComputedStyle(each).cursor === "pointer" && !each.closest("a[href], button, summary, label, select, input, option")).map(named);

/** Texts that end where their box does, and are cut there. */
const cut = (root) =>
  [...root.querySelectorAll("*")]
    .filter((each) => {
      const style = getComputedStyle(each);
      const own = [...each.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      return own && style.clip === "auto" && style.overflowX === "hidden" && each.scrollWidth > each.clientWidth + 1;
    })
    .map(named);
