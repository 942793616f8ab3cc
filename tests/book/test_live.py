"""Live forms in a real browser: what a reader does with them, and sees, on a screen, on paper, without scripts."""

import math

import pytest
import torch
from sphinx.errors import SphinxWarning

import live_site
from page_probes import PALE, PROSE, RAW, TOO_WIDE, UNTYPESET, WITHOUT_HINT, WITHOUT_TEXT
from scoredrift import Estimate, FreshFraction, KernelFit, OrnsteinUhlenbeck, mixture_of_three
from scoredrift.divergences import mixture_gram, total_variation_on_nodes
from scoredrift.generations import (
    BiasAndNoise,
    accumulated,
    forecast,
    fresh_fraction_needed,
    half_life,
    recurse_laws,
    steady_state,
)
from scoredrift.laws import GaussianMixture, on_nodes


def fill(page, label: str, typed: str, nth: int = 0) -> None:
    """Type into a field, by keyboard."""
    page.locator("[data-live=calculator]").get_by_label(label, exact=True).nth(nth).focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type(typed)


def shown(page, name: str) -> str:
    return page.locator(f"[data-result={name}] .live-value").inner_text()


def three(value: float) -> str:
    """A number between 0.001 and 10 as the page shows it."""
    return f"{value:#.3g}"


def test_calculator_by_keyboard(see) -> None:
    page = see()
    bias, noise, alpha, tolerated, last = 0.004, 0.03, 0.25, 0.11, 12
    page.locator("[data-live=calculator] input").first.focus()
    for number in (bias, 0.0005, noise, 0.002, alpha, tolerated, last):
        page.keyboard.press("Control+A")
        page.keyboard.type(str(number))
        page.keyboard.press("Tab")
    path = forecast(parts(bias, noise), alpha=alpha, generations=2000)
    assert shown(page, "long") == three(path[-1].value)
    least = fresh_fraction_needed(parts(bias, noise, 0.0005, 0.002), tolerated)
    assert shown(page, "least") == f"{three(least.value)} ± {three(least.stderr)}"
    ends = [three(least.value - 2 * least.stderr), three(least.value + 2 * least.stderr)]
    assert " to ".join(ends) in page.locator("[data-result=least]").inner_text()
    first = next(i for i, one in enumerate(path) if one.value > tolerated)
    assert shown(page, "above") == f"generation {first}"
    assert shown(page, "memory") == f"{three(half_life(alpha))} generations"
    rows = [row.locator("td").all_inner_texts() for row in page.locator(".live-table tbody tr").all()]
    kept, both = accumulated(last), accumulated(last, alpha=alpha)
    wanted = [
        path[last].value,
        (last + 1) ** 2 * bias + (last + 1) * noise,
        kept.bias**2 * bias + kept.noise * noise,
        both.bias**2 * bias + both.noise * noise,
    ]
    assert [row[0] for row in rows] == [three(value) for value in wanted]
    assert [row[1] for row in rows] == [three(path[-1].value), "infinite", "infinite", three(bias / alpha**2)]
    words = page.locator("[data-live=calculator] [aria-live=polite]").inner_text()
    assert three(path[-1].value) in words
    assert f"Generation {first} is the first above the tolerated 0.11" in words
    label = page.locator("[data-live=calculator] [role=img]").get_attribute("aria-label")
    assert three(path[last].value) in label
    assert page.complaints == []


@pytest.mark.parametrize(
    ("label", "typed", "message"),
    [
        ("fresh fraction α", "1.5", "fresh fraction = 1.5: type a number above 0 and at most 1"),
        ("fresh fraction α", "0", "fresh fraction = 0: type a number above 0 and at most 1"),
        ("fresh fraction α", "", "fresh fraction = nothing: type a number above 0 and at most 1"),
        ("bias ‖b‖²", "-1", "bias = -1: type a number that is 0 or more"),
        ("bias ‖b‖²", "0,01", "bias = 0,01: write the decimals after a point"),
        ("noise E‖noise‖²", "1e-400", "noise = 1e-400: type 0, or 1e-100 or more"),
        ("noise E‖noise‖²", "1e200", "noise = 1e200: type a number that is 0 or more"),
        ("tolerated drift D", "many", "tolerated drift = many: type a number above 0"),
        ("generations N", "2.5", "generations = 2.5: type a whole number from 1 to 1000"),
        ("generations N", "1001", "generations = 1001: type a whole number from 1 to 1000"),
        ("its standard error", "-1", "standard error of the bias = -1: type 0 or more, or nothing"),
    ],
)
def test_wrong_input_is_refused_and_no_old_number_stays(see, label: str, typed: str, message: str) -> None:
    page = see()
    form = page.locator("[data-live=calculator]")
    before = form.locator(".live-words").inner_text()
    fill(page, label, typed)
    field = form.get_by_label(label, exact=True).first
    assert field.get_attribute("aria-invalid") == "true"
    described = page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert described.inner_text().removeprefix("▲ ") == message
    assert form.locator("[aria-live=polite]").inner_text() == message + "."
    assert form.locator(".live-value, td, svg text").count() == 0
    assert not form.locator(".live-table").is_visible()
    fill(page, label, field.evaluate("e => e.defaultValue"))
    assert field.get_attribute("aria-invalid") is None
    assert form.locator(".live-words").inner_text() == before
    assert form.locator(".live-value").count() == 4


def test_a_drift_that_fresh_data_exceed_is_said(see) -> None:
    page = see()
    fill(page, "tolerated drift D", "0.0025")
    assert shown(page, "least") == "none"
    note = page.locator("[data-result=least]").inner_text()
    assert "tolerated drift = 0.0025: fresh data alone leave 0.00300: train better models" in note
    assert shown(page, "above") == "generation 0"


def test_edges_of_the_calculator(see) -> None:
    page = see()
    for label, typed in {"bias ‖b‖²": "0", "noise E‖noise‖²": "0", "fresh fraction α": "1"}.items():
        fill(page, label, typed)
    for nth in (0, 1):
        fill(page, "its standard error", "", nth)
    assert [shown(page, one) for one in ("long", "least", "above")] == ["0", "0", "never"]
    assert shown(page, "memory") == "0 generations"
    fill(page, "noise E‖noise‖²", "0.05")
    fill(page, "its standard error", "0.01", 1)
    assert shown(page, "least") == "1.00"
    assert "no interval" in page.locator("[data-result=least]").inner_text()
    assert page.locator("[data-live=calculator]").inner_text().count("NaN") == 0
    assert page.complaints == []


def parts(bias: float, noise: float, of_bias: float = 0.0, of_noise: float = 0.0) -> BiasAndNoise:
    return BiasAndNoise(Estimate(bias, of_bias), Estimate(noise, of_noise))


def gaussian(variance: float) -> GaussianMixture:
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixture(one, 0 * one[:, None], variance * one)


def twin(alpha: float, bandwidth: float, generation: int) -> GaussianMixture:
    learn, regime = KernelFit(bandwidth, OrnsteinUhlenbeck()).limit, FreshFraction(alpha)
    return recurse_laws(learn, mixture_of_three(), regime=regime, generations=generation)[-1].model


def numbers(page, kind: str) -> str:
    return page.locator(f"[data-live={kind}] [aria-live=polite]").inner_text()


def press(page, kind: str, label: str, key: str, times: int = 1) -> None:
    slider = page.locator(f"[data-live={kind}]").get_by_label(label, exact=True)
    slider.focus()
    for _ in range(times):
        page.keyboard.press(key)


def test_densities_by_keyboard(see) -> None:
    page = see()
    press(page, "densities", "fresh fraction α", "ArrowRight", 8)  # 0.1 to 0.5
    press(page, "densities", "bandwidth h", "ArrowLeft", 8)  # 0.2 to 0.04
    press(page, "densities", "generation i", "Home")
    press(page, "densities", "generation i", "ArrowRight", 1)
    model, data = twin(0.5, 0.04, 1), mixture_of_three()
    nodes = torch.linspace(-25, 25, 4001, dtype=torch.float64)
    moved = total_variation_on_nodes(on_nodes(model, nodes), on_nodes(data, nodes), nodes)
    words = numbers(page, "densities")
    assert f"a share of {three(moved)} of its points" in words
    assert f"χ² = {three(float(mixture_gram(data, [model])))}." in words
    press(page, "densities", "generation i", "End")
    wide = float(twin(0.5, 0.04, 20).variances.max())
    assert f"χ² is infinite: a component has variance {three(wide)}" in numbers(page, "densities")
    slider = page.locator("[data-live=densities]").get_by_label("fresh fraction α", exact=True)
    press(page, "densities", "fresh fraction α", "Home")
    assert slider.get_attribute("aria-valuetext") == "0, replace"
    picture = page.locator("[data-live=densities] [role=img]").get_attribute("aria-label")
    assert picture == numbers(page, "densities")


def test_coherence_by_keyboard(see) -> None:
    page = see()
    press(page, "coherence", "coherence c", "ArrowLeft", 14)  # 0.5 to −0.2
    press(page, "coherence", "fresh fraction α", "ArrowRight", 2)  # 0.3 to 0.4
    c, alpha, before, forcing = -0.2, 0.4, 1.0, 0.25
    mixed = 2 * (1 - alpha) * c * math.sqrt(before * forcing)
    total = (1 - alpha) ** 2 * before + forcing + mixed
    shown_terms = page.locator(".live-term b").all_inner_texts()
    assert shown_terms == [three(total), "= 0.360", "+ 0.250", f"− {three(-mixed)}"]
    words = numbers(page, "coherence")
    assert "coherence −0.2" in words
    assert f"falls from 1 to {three(total)}" in words
    assert f"ends at {three(steady_state(forcing, alpha=alpha, coherence=c))}." in words


def test_infinite_by_keyboard(see) -> None:
    page = see()
    press(page, "infinite", "ratio of variances v/s", "ArrowLeft", 30)  # 1.8 to 1.5
    assert f"= {three(float(mixture_gram(gaussian(1.0), [gaussian(1.5)])))}." in numbers(page, "infinite")
    press(page, "infinite", "ratio of variances v/s", "ArrowRight", 50)
    assert "At v = 2 s, χ² is infinite." in numbers(page, "infinite")
    press(page, "infinite", "ratio of variances v/s", "ArrowLeft", 1)
    assert f"= {three(float(mixture_gram(gaussian(1.0), [gaussian(1.99)])))}." in numbers(page, "infinite")


def test_every_control_has_a_name_and_shows_its_focus(see) -> None:
    page = see()
    inputs = page.locator(".live input")
    assert inputs.count() == 15
    for one in inputs.all():
        one.focus()
        assert page.locator(f"label[for={one.get_attribute('id')}]").inner_text().strip()
        page.keyboard.press("Shift")  # the last input was the keyboard's
        assert one.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert page.locator(".live[role=group][aria-labelledby]").count() == len(live_site.KINDS)
    assert page.locator(".live [role=img][aria-label]").count() == len(live_site.KINDS)


LUMINANCE = """e => {
  const parts = text => text.match(/[\\d.]+/g).slice(0, 3).map(one => {
    const c = one / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const light = text => { const [r, g, b] = parts(text); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  return [light(getComputedStyle(e).stroke), light(getComputedStyle(document.body).backgroundColor)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_and_are_told_apart_without_colour(see, scheme: str) -> None:
    page = see(color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    for one in page.locator(".live .line, .live-field input").all():
        if one.evaluate("e => e.tagName === 'path'"):
            low, high = sorted(one.evaluate(LUMINANCE))
            assert (high + 0.05) / (low + 0.05) > 4.5, one.get_attribute("class")
    if scheme == "dark":
        assert page.evaluate(PALE) == []
    for kind in ("calculator", "densities", "infinite"):
        dashes = page.locator(f"[data-live={kind}] .live-legend path").evaluate_all(
            "all => all.map(e => getComputedStyle(e).strokeDasharray)"
        )
        assert len(set(dashes)) == len(dashes) > 1


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_fits_its_page(see, width: int) -> None:
    page = see(width=width)
    page.wait_for_function("document.documentElement.dataset.fitted")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(WITHOUT_HINT) == []
    assert page.evaluate(UNTYPESET) == []
    assert RAW.search(page.evaluate(PROSE)) is None
    letters = page.locator(".live-picture text").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().height)"
    )
    assert min(letters) > 9
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function(
        "[...document.querySelectorAll('.live-picture svg')].every(e => e.viewBox.baseVal.width > 500)"
    )
    assert page.complaints == []


def test_paper_shows_picture_and_words_without_controls(see) -> None:
    page = see(color_scheme="dark")
    press(page, "infinite", "ratio of variances v/s", "ArrowLeft", 30)
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".live-controls:visible").count() == 0
    assert page.locator(".live-picture svg:visible").count() == len(live_site.KINDS)
    assert "At v = 1.5 s" in numbers(page, "infinite")
    assert "fresh fraction 0.1" in numbers(page, "calculator")
    (light,) = {one.evaluate(LUMINANCE)[1] for one in page.locator(".live .line").all()}
    assert light > 0.9


def test_without_javascript_there_is_a_still_with_words(see) -> None:
    page = see(java_script_enabled=False)
    assert page.locator(".live figure img:visible").count() == len(live_site.KINDS)
    for kind in live_site.KINDS:
        place = page.locator(f"[data-live={kind}]")
        assert place.locator("img").get_attribute("alt") == f"Still of {kind}."
        assert place.locator("img").bounding_box()["height"] > 100
        assert f"Without JavaScript: {kind}" in place.locator("p").inner_text()
    assert page.locator("input:visible").count() == 0


def test_stills_give_way_to_forms_where_there_is_javascript(see) -> None:
    page = see()
    assert page.locator(".live[data-ready=yes]").count() == len(live_site.KINDS)
    assert page.locator(".live img").count() == 0
    assert page.evaluate(WITHOUT_TEXT) == []
    assert "Without JavaScript" not in page.locator("article").inner_text()


def test_pages_without_a_form_load_no_script_of_it(live_folder) -> None:
    for name, loaded in (("index.html", True), ("plain.html", False)):
        text = (live_folder / name).read_text(encoding="utf-8")
        assert ("live/live.css" in text) == ("const $calculator" in text) == loaded


def test_a_page_opened_from_a_disk_has_its_forms(live_folder, browser) -> None:
    """Where browsers load no modules."""
    page = browser.new_page()
    page.goto((live_folder / "index.html").as_uri())
    page.wait_for_selector(".live[data-ready=yes] input")
    assert page.locator(".live[data-ready=yes]").count() == len(live_site.KINDS)
    page.close()


def test_stills_are_the_same_each_time(live_folder) -> None:
    import live_stills
    from live_tools import SETTINGS

    for name, settings in SETTINGS.items():
        assert live_stills.svg(name, settings) == live_stills.svg(name, settings)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (":::{live} dials\n:alt: x\nText.\n:::", "live = dials: choose one of calculator, densities"),
        (":::{live} infinite\nText.\n:::", "say in words what the still shows"),
        (":::{live} infinite\n:alt: x\n:::", "Content block expected"),
    ],
)
def test_a_wrong_directive_stops_the_build(live_folder, tmp_path, page: str, message: str) -> None:
    with pytest.raises(SphinxWarning, match=message):
        live_site.build(tmp_path, f"# Page\n\n{page}\n")
