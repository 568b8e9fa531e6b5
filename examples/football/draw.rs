//! Both sides in a terminal.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Circle, Context, Line as Stroke, Rectangle};
use ratatui::widgets::{Block, Paragraph};

use crate::game::FIELD;
use crate::side::Side;

/// The terminal, given back when this goes.
pub(crate) struct Screen(DefaultTerminal);

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    /// Draws. Returns whether somebody wants it to end.
    pub(crate) fn draw(&mut self, sides: &[Side; 2]) -> io::Result<bool> {
        self.0.draw(|frame| {
            let [left, right] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(frame.area());
            for (side, area) in sides.iter().zip([left, right]) {
                show(frame, area, side);
            }
        })?;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(KeyEvent { code, modifiers, .. }) = event::read()? {
                let interrupt = modifiers.contains(KeyModifiers::CONTROL);
                let ends = match code {
                    KeyCode::Char('q') | KeyCode::Esc => true,
                    KeyCode::Char('c') => interrupt,
                    _ => false,
                };
                if ends {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn show(frame: &mut Frame<'_>, area: Rect, side: &Side) {
    let [field, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(4)]).areas(area);
    let canvas = Canvas::default()
        .block(Block::bordered().title(format!(" {} numbers ", side.name())))
        .marker(Marker::Braille)
        .x_bounds([-3.0, f64::from(FIELD[0]) + 3.0])
        .y_bounds([-3.0, f64::from(FIELD[1]) + 3.0])
        .paint(|context| paint(context, side));
    frame.render_widget(canvas, field);
    let figures = side.figures();
    let each = figures.now / f64::from(u32::try_from(figures.others.max(1)).unwrap_or(1));
    let lines = [
        format!("moves {} (green), is told of {} (yellow)", figures.own, figures.others),
        format!("{:.1} bytes/s a player, {:.2} an update", each, figures.per_update),
        format!("{:.0} bytes/s in all, {} ms behind", figures.now, figures.behind.as_millis()),
        "q ends it".to_owned(),
    ];
    let lines: Vec<Line<'_>> = lines.into_iter().map(|line| Line::from(Span::raw(line))).collect();
    frame.render_widget(Paragraph::new(lines), below);
}

fn paint(context: &mut Context<'_>, side: &Side) {
    let (width, height) = (f64::from(FIELD[0]), f64::from(FIELD[1]));
    context.draw(&Rectangle { x: 0.0, y: 0.0, width, height, color: Color::DarkGray });
    context.draw(&Stroke::new(width / 2.0, 0.0, width / 2.0, height, Color::DarkGray));
    for (number, [x, y], heading, own) in side.players() {
        let color = if own { Color::Green } else { Color::Yellow };
        let (x, y, heading) = (f64::from(x), f64::from(y), f64::from(heading));
        context.draw(&Circle { x, y, radius: 1.2, color });
        context.draw(&Stroke::new(x, y, x + 3.0 * heading.cos(), y + 3.0 * heading.sin(), color));
        context.print(x + 1.5, y, Span::styled(number.to_string(), Style::new().fg(color)));
    }
}
