"""Abbreviations, by what their full stop says of the sentence; all without it, in lower case."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER = _words(
    """
    approx drs bzw ca capt cf cmdr d.h d.w.z dr dra e.g evtl ex fa fr gen ggf gov hon hr i.e incl
    inkl lt mlle mme mr mrs ms mt nr p.ej prof rep resp rev sen sgt sig sog sr sra ud vgl
    viz vs z.b др им ул
    """
)
"""These end no sentence: something that they name or introduce follows."""

BEFORE_NUMBER = _words(
    """
    abb abs app apr apt art aug bd bk ch chap cl dec def eq eqs est ex exp feb fig figs fn
    fol jan jul jun kap lect lem lib mar may n nn no nos nov nr núm oct p par pg pl pos pp
    prob prop pt pág ref refs s sec secs sect sep sept ss tab tel th thm univ v ver vol vols
    п рис стр табл
    """
)
"""These end no sentence before a number or a letter that stands for one ("Fig. 3", "App. B")."""

OFTEN_LAST = _words(
    """
    a.m etc ft g h hr hrs in kg km lb lbs m max mi min mins ml mm mo mos no oz p.m s sec
    secs tbsp tsp u.a usw yr yrs ecc г млн тыс
    """
)
"""These may end a sentence and do so before a capital letter."""

USUALLY_WITHIN = _words(
    """
    ave blvd bros co corp dept div ee eds et al ed fam fri ft gmbh hwy inc int intl jr ltd
    mon mts nat natl op pop pres rd rte sat st sta ste sun thu thurs tue tues trans transl
    uu wed
    """
)
"""These may end a sentence too, and do so before a word that often begins one."""

STARTERS = _words(
    """
    a according after all also although among an and another any are as at be because before
    both but by can check choose could did do does each even every few finally first for
    from given he hence her here his how however i if in is it its later let many may might
    more most my next no not note now of on once one or our please second see several she
    should since so some such take that the their then there therefore these they this those
    though thus to today too under until use was we were what when where whether which while
    who why will with would yes yet you your der die das ein eine er es sie wir le la les un
    une il elle el los las en o os e
    """
)
"""Words with which sentences often begin, in lower case."""

BEFORE_LETTER = _words(
    """
    answer answers appendix are be choose class figure grade group is letter not option or
    part pick plan point proposal section statement team type variant vitamin was
    """
)
"""Words after which a capital letter with a full stop is no initial of a name ("plan B.")."""

NUMBERED = _words(
    """
    chapter day example exercise figure part phase point problem question rule section step
    task theorem tip week schritt étape paso
    """
)
"""Words whose number is a label where they begin a sentence ("Question 1. What …")."""

AFTER_ORDINAL = _words(
    """
    januar februar märz april mai juni juli august september oktober november dezember
    jahrhundert jh klasse weltkrieg january february march may june july october december
    januari mei
    """
)
"""Words before which a number with a full stop is an ordinal ("3. Oktober")."""

ALSO_WORDS = _words(
    """
    app art aug co def ed est ex fig gen in lib mar max may min mon no op par pop pos prob prop pt
    rep rev sat sec sig sun tab wed
    """
)
"""Abbreviations that are words as well, and end a sentence as such where no number follows."""
